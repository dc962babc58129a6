import Tensors

/// Root-mean-square normalisation: `y = x / sqrt(mean(x²) + eps) · weight`.
public final class RMSNorm: AdaptableModule {
    /// `[C]`.
    public let weight: Parameter
    /// What adapters put in the weight's place.
    public var slot = AdapterSlot<any NormAdapter>()
    /// Added to the mean square.
    public let epsilon: Float

    /// A norm with the parameter `weight` of a scope.
    public init(_ scope: ParameterScope, size: Int, epsilon: Float) throws {
        weight = try scope.parameter("weight", shape: [size])
        self.epsilon = epsilon
    }

    /// The weight.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("weight", weight)] }

    /// The adapters.
    public var children: [(name: String, module: any Module)] { slot.children }

    /// `[T, C]` to `[T, C]`, stored as activations are.
    public func callAsFunction(_ x: Tensor, _ context: ForwardContext) -> Tensor {
        let weight = slot.active(context).reversed().lazy.compactMap(\.ownWeight).first ?? weight
        return rmsNorm(x, weight: context.value(weight), epsilon: epsilon, as: context.activations)
    }
}

/// An adapter of a norm.
public protocol NormAdapter: Adapter {
    /// A weight that stands in for the norm's own; nil for the norm's.
    var ownWeight: Parameter? { get }
}
