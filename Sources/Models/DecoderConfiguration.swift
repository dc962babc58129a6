import Layers

/// The shape of a decoder-only language model, whatever file it came from.
///
/// A flag enters here when a second family needs it.
public struct DecoderConfiguration: Hashable, Sendable {
    /// The family's name: `model_type` in config.json.
    public var family: String
    /// The number of tokens the model knows.
    public var vocabularySize: Int
    /// Channels of the residual stream.
    public var hiddenSize: Int
    /// Channels inside the MLP.
    public var intermediateSize: Int
    /// The number of blocks.
    public var layers: Int
    /// Query heads.
    public var heads: Int
    /// Key and value heads.
    public var keyValueHeads: Int
    /// Channels a head.
    public var headDimension: Int
    /// Added to the mean square in norms.
    public var normEpsilon: Double
    /// The base of the rotary frequencies.
    public var ropeTheta: Double
    /// How the rotary frequencies are scaled.
    public var ropeScaling: RotaryEmbedding.Scaling
    /// The longest sequence the model was made for.
    public var maximumPositions: Int
    /// Whether q, k and v have biases.
    public var attentionBias: Bool
    /// Whether the attention's output projection has a bias.
    public var attentionOutputBias: Bool
    /// Whether the MLP's projections have biases.
    public var mlpBias: Bool
    /// Whether the head is the embedding table.
    public var tiesEmbeddings: Bool
    /// The deviation of the normal numbers that new layers start from.
    public var initializerRange = 0.02

    var attentionShape: Attention.Shape {
        .init(hiddenSize: hiddenSize, heads: heads, keyValueHeads: keyValueHeads, headDimension: headDimension)
    }
}
