import Layers
import Tensors

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), with `torch.optim.AdamW`'s arithmetic.
public final class AdamW: Optimizer {
    /// torch's names of the two moments.
    public static let stateKinds = ["exp_avg", "exp_avg_sq"]
    /// The number of steps taken.
    public var stepCount = 0
    /// `<path>.exp_avg` and `<path>.exp_avg_sq`.
    public var state: [String: Tensor] = [:]
    private let beta1, beta2, epsilon: Double
    private let groups: ParameterGroups

    /// Makes an optimizer without state.
    public init(
        beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0,
        rates: ParameterRates = ParameterRates()
    ) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        groups = ParameterGroups(rates: rates, weightDecay: weightDecay)
    }

    /// Both moments of every parameter.
    public func makeState(for parameters: [(path: String, parameter: Parameter)]) {
        for (path, parameter) in parameters {
            for kind in Self.stateKinds { _ = moment("\(path).\(kind)", like: parameter.value) }
        }
    }

    /// Changes every parameter that has a gradient.
    public func step(
        _ parameters: [(path: String, parameter: Parameter)], learningRate: Double, gradientScale: Float
    ) {
        stepCount += 1
        for (path, parameter) in parameters {
            guard let gradient = parameter.gradient else { continue }
            let group = groups(path, parameter, learningRate)
            AdamWStep(
                learningRate: group.rate, beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: group.decay,
                step: stepCount, gradientScale: gradientScale
            ).apply(
                to: parameter.value, gradient: gradient, mean: moment("\(path).exp_avg", like: gradient),
                meanSquare: moment("\(path).exp_avg_sq", like: gradient))
        }
    }

    private func moment(_ name: String, like value: Tensor) -> Tensor {
        if let tensor = state[name] { return tensor }
        let tensor = Tensor.zeros(value.shape, device: value.device)
        state[name] = tensor
        return tensor
    }
}
