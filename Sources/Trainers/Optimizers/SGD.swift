import Layers
import Tensors

/// Stochastic gradient descent with momentum, with `torch.optim.SGD`'s arithmetic.
public final class SGD: Optimizer {
    /// The number of steps taken.
    public var stepCount = 0
    /// `<path>.momentum_buffer`, torch's name; empty without momentum.
    public var state: [String: Tensor] = [:]
    private let momentum, weightDecay: Double

    /// Makes an optimizer without state.
    public init(momentum: Double = 0, weightDecay: Double = 0) {
        self.momentum = momentum
        self.weightDecay = weightDecay
    }

    /// Changes every parameter that has a gradient.
    public func step(
        _ parameters: [(path: String, parameter: Parameter)], learningRate: Double, gradientScale: Float
    ) {
        stepCount += 1
        for (path, parameter) in parameters {
            guard let gradient = parameter.gradient else { continue }
            let name = "\(path).momentum_buffer"
            let isFirst = state[name] == nil
            if momentum > 0, isFirst { state[name] = .zeros(gradient.shape, device: gradient.device) }
            sgdStep(
                parameter.value, gradient: gradient, momentumBuffer: state[name], learningRate: learningRate,
                momentum: momentum, weightDecay: isDecayed(path) ? weightDecay : 0, gradientScale: gradientScale,
                isFirst: isFirst)
        }
    }
}
