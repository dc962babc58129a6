import Tensors

/// Looks tokens up in a table: `y[t] = W[token[t]]`.
public final class Embedding: AdaptableModule {
    /// `[vocabulary, C]`.
    public let weight: Parameter
    /// What adapters change.
    public var slot = AdapterSlot<any EmbeddingAdapter>()

    /// A table with the parameter `weight` of a scope.
    public init(_ scope: ParameterScope, vocabulary: Int, size: Int) throws {
        weight = try scope.parameter("weight", shape: [vocabulary, size])
    }

    /// The table.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("weight", weight)] }

    /// The adapters.
    public var children: [(name: String, module: any Module)] { slot.children }

    /// T tokens to `[T, C]`.
    public func callAsFunction(_ tokens: [Int32], _ context: ForwardContext) -> Tensor {
        let adapters = slot.active(context)
        let table = context.value(adapters.reversed().lazy.compactMap(\.ownWeight).first ?? weight)
        return adapters.reduce(gatherRows(table, tokens)) { $1.adapted($0, of: tokens, context) }
    }
}

/// An adapter of a table of tokens.
public protocol EmbeddingAdapter: Adapter {
    /// A table that stands in for the module's own before anything else; nil for the module's.
    var ownWeight: Parameter? { get }
    /// What it makes of the rows `[T, C]` of T tokens, in f32.
    func adapted(_ rows: Tensor, of tokens: [Int32], _ context: ForwardContext) -> Tensor
    /// The table with the change folded in; must agree with ``adapted(_:of:_:)``.
    func merged(into weight: Tensor) -> Tensor
}
