import Layers
import Tensors

/// A stack of decoder blocks between an embedding and a final norm.
public final class DecoderModel: Module {
    private let embedding: Embedding
    private let layers: [DecoderLayer]
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
    }

    /// The table that a tied head shares.
    var embeddingWeight: Parameter { embedding.weight }

    /// T tokens to the hidden states `[T, hiddenSize]` that the head reads.
    public func callAsFunction(_ tokens: [Int32], _ context: ForwardContext) -> Tensor {
        precondition(
            tokens.count == context.layout.count, "\(tokens.count) tokens in a layout of \(context.layout.count)")
        let angles = rotary.angles(context.layout.positions)
        return norm(layers.reduce(embedding(tokens, context)) { $1($0, angles, context) }, context)
    }
}
