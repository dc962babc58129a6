import Tensors

/// Looks tokens up in a table: `y[t] = W[token[t]]`.
public final class Embedding: Module {
    /// `[vocabulary, C]`.
    public let weight: Parameter

    /// A table with the parameter `weight` of a scope.
    public init(_ scope: ParameterScope, vocabulary: Int, size: Int) throws {
        weight = try scope.parameter("weight", shape: [vocabulary, size])
    }

    /// The table.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("weight", weight)] }

    /// T tokens to `[T, C]`.
    public func callAsFunction(_ tokens: [Int32], _ context: ForwardContext) -> Tensor {
        gatherRows(context.value(weight), tokens)
    }
}
