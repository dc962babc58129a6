import CKernels
import Glibc

/// The constants of one AdamW step (Loshchilov and Hutter 2019), as in `torch.optim.AdamW`.
public struct AdamWStep: Sendable {
    /// The rate of this step.
    public var learningRate: Double
    /// The decay of the mean of gradients.
    public var beta1: Double
    /// The decay of the mean of squared gradients.
    public var beta2: Double
    /// Added to the root of the mean square.
    public var epsilon: Double
    /// The share of a weight, times the rate, that is taken off it.
    public var weightDecay: Double
    /// The number of this step, from 1.
    public var step: Int
    /// Multiplies the gradient first: clipping.
    public var gradientScale: Float

    /// Makes the constants.
    public init(
        learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double, step: Int,
        gradientScale: Float
    ) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.step = step
        self.gradientScale = gradientScale
    }

    /// Updates a weight and its two moments in place:
    /// `w -= rate · λ · w`, `m = β₁ m + (1 - β₁) g`, `v = β₂ v + (1 - β₂) g²`, `w -= rate / (1 - β₁ᵗ) · m / (√(v / (1 - β₂ᵗ)) + ε)`.
    public func apply(to weight: Tensor, gradient: Tensor, mean: Tensor, meanSquare: Tensor) {
        precondition(
            weight.shape == gradient.shape && weight.shape == mean.shape && weight.shape == meanSquare.shape,
            "a weight of shape \(weight.shape), a gradient of \(gradient.shape), moments of \(mean.shape)")
        let constants = adamw_constants(
            learning_rate: Float(learningRate), beta1: Float(beta1), beta2: Float(beta2), epsilon: Float(epsilon),
            weight_decay: Float(weightDecay), bias_correction1: Float(1 - power(beta1, step)),
            bias_correction2: Float(1 - power(beta2, step)), gradient_scale: gradientScale,
            beta1_rest: Float(1 - beta1), beta2_rest: Float(1 - beta2))
        weight.device.kernels.adamw_step(
            weight.floats, mean.floats, meanSquare.floats, gradient.floats, Int64(weight.count), constants)
    }

    private func power(_ base: Double, _ exponent: Int) -> Double { Glibc.pow(base, Double(exponent)) }
}

/// One step of stochastic gradient descent with momentum, as in `torch.optim.SGD`: `b = μ b + g + λ w`, `w -= rate · b`.
public func sgdStep(
    _ weight: Tensor, gradient: Tensor, momentumBuffer: Tensor?, learningRate: Double, momentum: Double,
    weightDecay: Double, gradientScale: Float, isFirst: Bool
) {
    precondition(weight.shape == gradient.shape, "a weight of shape \(weight.shape), a gradient of \(gradient.shape)")
    weight.device.kernels.sgd_step(
        weight.floats, momentumBuffer?.floats, gradient.floats, Int64(weight.count), Float(learningRate),
        Float(momentum), Float(weightDecay), gradientScale, isFirst)
}
