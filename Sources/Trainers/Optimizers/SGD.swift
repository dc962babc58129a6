import Layers
import Tensors

/// Stochastic gradient descent with momentum, with `torch.optim.SGD`'s arithmetic.
public final class SGD: Optimizer {
    /// torch's name of the running sum of gradients.
    public static let stateKinds = ["momentum_buffer"]
    /// The number of steps taken.
    public var stepCount = 0
    /// `<path>.momentum_buffer`; empty without momentum.
    public var state: [String: Tensor] = [:]
    private let momentum: Double
    private let groups: ParameterGroups

    /// Makes an optimizer without state.
    public init(momentum: Double = 0, weightDecay: Double = 0, rates: ParameterRates = ParameterRates()) {
        self.momentum = momentum
        groups = ParameterGroups(rates: rates, weightDecay: weightDecay)
    }

    /// The running sum of every parameter.
    public func makeState(for parameters: [(path: String, parameter: Parameter)]) {
        guard momentum > 0 else { return }
        for (path, parameter) in parameters where state["\(path).momentum_buffer"] == nil {
            state["\(path).momentum_buffer"] = .zeros(parameter.value.shape, device: parameter.value.device)
        }
    }

    /// Changes every parameter that has a gradient.
    public func step(
        _ parameters: [(path: String, parameter: Parameter)], learningRate: Double, gradientScale: Float
    ) {
        makeState(for: parameters)
        stepCount += 1
        for (path, parameter) in parameters {
            guard let gradient = parameter.gradient else { continue }
            let group = groups(path, parameter, learningRate)
            sgdStep(
                parameter.value, gradient: gradient, momentumBuffer: state["\(path).momentum_buffer"],
                learningRate: group.rate, momentum: momentum, weightDecay: group.decay,
                gradientScale: gradientScale, isFirst: stepCount == 1)
        }
    }
}
