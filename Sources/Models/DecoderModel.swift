import Layers
import Tensors

/// A stack of decoder blocks between an embedding and a final norm.
public final class DecoderModel: DecoderStack {
    /// Virtual tokens, which stand before every sequence.
    public var slot = AdapterSlot<any VirtualTokenAdapter>()
    /// The table of the vocabulary.
    public let embedding: Embedding
    /// The blocks.
    public let layers: [DecoderLayer]
    private let norm: RMSNorm
    private let rotary: RotaryEmbedding

    /// Reads the weights of a scope: `embed_tokens`, `layers.<i>`, `norm`.
    public init(_ scope: ParameterScope, _ configuration: DecoderConfiguration) throws {
        let epsilon = Float(configuration.normEpsilon)
        embedding = try Embedding(
            scope["embed_tokens"], vocabulary: configuration.vocabularySize, size: configuration.hiddenSize)
        layers = try (0..<configuration.layers).map { index in
            let scope = scope["layers"]["\(index)"]
            return DecoderLayer(
                attention: try Attention(
                    scope["self_attn"], layer: index, shape: configuration.attentionShape,
                    bias: configuration.attentionBias, outputBias: configuration.attentionOutputBias),
                mlp: try GatedMLP(
                    scope["mlp"], hiddenSize: configuration.hiddenSize,
                    intermediateSize: configuration.intermediateSize, bias: configuration.mlpBias),
                inputNorm: try RMSNorm(scope["input_layernorm"], size: configuration.hiddenSize, epsilon: epsilon),
                postAttentionNorm: try RMSNorm(
                    scope["post_attention_layernorm"], size: configuration.hiddenSize, epsilon: epsilon))
        }
        norm = try RMSNorm(scope["norm"], size: configuration.hiddenSize, epsilon: epsilon)
        rotary = RotaryEmbedding(
            headDimension: configuration.headDimension, theta: configuration.ropeTheta,
            scaling: configuration.ropeScaling)
    }

    /// The parts.
    public var children: [(name: String, module: any Module)] {
        [("embed_tokens", embedding)] + layers.enumerated().map { ("layers.\($0)", $1) } + [("norm", norm)]
            + slot.children
    }

    /// The table that a tied head shares.
    var embeddingWeight: Parameter { embedding.weight }

    /// T tokens to the hidden states that the head reads. The virtual tokens of active adapters stand before every sequence; where there
    /// is a cache, it begins with them.
    public func callAsFunction(_ tokens: [Int32], _ context: ForwardContext) -> HiddenStates {
        precondition(
            tokens.count == context.layout.count, "\(tokens.count) tokens in a layout of \(context.layout.count)")
        let prefix = context.keyValues == nil ? VirtualPrefix(of: self, context) : nil
        let embedded = embedding(tokens, context)
        guard let prefix, !prefix.isEmpty else {
            return HiddenStates(values: states(embedded, context) { _ in [] }, context: context, firstRow: 0)
        }
        let rows = prefix.embeddings.map { stackedRows([$0, embedded]) } ?? embedded
        let whole = context.preceded(by: prefix)
        return HiddenStates(
            values: states(rows, whole, prefixes: prefix.keys), context: whole, firstRow: Int32(prefix.rowCount))
    }

    /// Embeddings `[rows, hiddenSize]` to hidden states.
    func states(_ x: Tensor, _ context: ForwardContext, prefixes: (Int) -> [OutsideKeys]) -> Tensor {
        let angles = rotary.angles(context.layout.positions)
        return norm(
            layers.enumerated().reduce(x) { $1.element($0, angles, prefixes: prefixes($1.offset), context) }, context)
    }
}

/// The hidden states of one pass.
public struct HiddenStates {
    /// `[rows, hiddenSize]`, those of virtual tokens first.
    let values: Tensor
    /// The context of those rows.
    let context: ForwardContext
    /// Where the batch's own rows begin.
    let firstRow: Int32

    /// Where rows of the batch lie in ``values``. Row -1 is the last virtual token, which stands before every sequence.
    func places(of rows: [Int32]) -> [Int32] { rows.map { firstRow + $0 } }
}
