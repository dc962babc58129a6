import Tensors

/// Root-mean-square normalisation: `y = x / sqrt(mean(x²) + eps) · weight`.
public final class RMSNorm: Module {
    /// `[C]`.
    public let weight: Parameter
    /// Added to the mean square.
    public let epsilon: Float

    /// A norm with the parameter `weight` of a scope.
    public init(_ scope: ParameterScope, size: Int, epsilon: Float) throws {
        weight = try scope.parameter("weight", shape: [size])
        self.epsilon = epsilon
    }

    /// The weight.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("weight", weight)] }

    /// `[T, C]` to `[T, C]`, stored as activations are.
    public func callAsFunction(_ x: Tensor, _ context: ForwardContext) -> Tensor {
        rmsNorm(x, weight: context.value(weight), epsilon: epsilon, as: context.activations)
    }
}
