import Files
import Layers

extension DecoderConfiguration {
    /// The keys that Llama and its descendants share in config.json; biases are off until the family says otherwise.
    init(family: String, huggingFace reader: ConfigurationReader) throws {
        let heads = try reader.size("num_attention_heads")
        let hiddenSize = try reader.size("hidden_size")
        let maximumPositions = try reader.size("max_position_embeddings", default: 2048)
        let rope = try Self.rope(reader, maximumPositions: maximumPositions)
        self.init(
            family: family, vocabularySize: try reader.size("vocab_size"), hiddenSize: hiddenSize,
            intermediateSize: try reader.size("intermediate_size"), layers: try reader.size("num_hidden_layers"),
            heads: heads, keyValueHeads: try reader.size("num_key_value_heads", default: heads),
            headDimension: try reader.size("head_dim", default: hiddenSize / heads),
            normEpsilon: try reader.number("rms_norm_eps", default: 1e-6), ropeTheta: rope.theta,
            ropeScaling: rope.scaling, maximumPositions: maximumPositions, attentionBias: false,
            attentionOutputBias: false, mlpBias: false,
            tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false))
        initializerRange = try reader.number("initializer_range", default: initializerRange)
        try checkShape(reader)
    }

    func checkShape(_ reader: ConfigurationReader) throws {
        guard heads % keyValueHeads == 0 else {
            throw reader.fault(
                "num_key_value_heads", "\(heads) query heads do not share \(keyValueHeads) key heads evenly")
        }
        guard headDimension % 2 == 0 else {
            throw reader.fault("head_dim", "\(headDimension) channels a head have no rotary pairs")
        }
    }

    /// Newer files have `rope_parameters`; older ones `rope_theta` beside `rope_scaling`, whose type may stand under `type`.
    private static func rope(
        _ reader: ConfigurationReader, maximumPositions: Int
    ) throws -> (theta: Double, scaling: RotaryEmbedding.Scaling) {
        guard let section = try reader.section("rope_parameters") ?? reader.section("rope_scaling") else {
            return (try reader.number("rope_theta", default: 10000), .none)
        }
        let theta = try section.number("rope_theta", default: try reader.number("rope_theta", default: 10000))
        let original = try section.size(
            "original_max_position_embeddings",
            default: try reader.size("original_max_position_embeddings", default: maximumPositions))
        let type = try section.string("rope_type") ?? section.string("type") ?? "default"
        switch type {
        case "default": return (theta, .none)
        case "linear": return (theta, .linear(factor: try section.number("factor")))
        case "llama3":
            return (
                theta,
                .llama3(
                    factor: try section.number("factor"), lowFrequencyFactor: try section.number("low_freq_factor"),
                    highFrequencyFactor: try section.number("high_freq_factor"), originalPositions: original)
            )
        case "yarn": return (theta, try yarn(section, original: original, maximumPositions: maximumPositions))
        default:
            throw section.fault(
                "rope_type", "rotary scaling of type \"\(type)\" is not supported",
                hint: "default, linear, llama3 and yarn are")
        }
    }

    private static func yarn(
        _ section: ConfigurationReader, original: Int, maximumPositions: Int
    ) throws -> RotaryEmbedding.Scaling {
        let factor = try section.number("factor", default: Double(maximumPositions) / Double(original))
        var attentionFactor = RotaryEmbedding.yarnAttentionFactor(factor)
        if section.values["mscale"]?.number != nil, section.values["mscale_all_dim"]?.number != nil {
            attentionFactor =
                RotaryEmbedding.yarnAttentionFactor(factor, multiplier: try section.number("mscale"))
                / RotaryEmbedding.yarnAttentionFactor(factor, multiplier: try section.number("mscale_all_dim"))
        }
        return .yarn(
            factor: factor, betaFast: try section.number("beta_fast", default: 32),
            betaSlow: try section.number("beta_slow", default: 1), originalPositions: original,
            attentionFactor: try section.number("attention_factor", default: attentionFactor),
            truncates: try section.flag("truncate", default: true))
    }

    /// config.json's keys, as current transformers writes them, with the family's own among them.
    func huggingFace(architecture: String, _ own: [(String, JSON)]) -> JSON {
        var keys: [(String, JSON)] = [
            ("architectures", [.string(architecture)]), ("model_type", .string(family)), ("hidden_act", "silu"),
            ("vocab_size", .integer(vocabularySize)), ("hidden_size", .integer(hiddenSize)),
            ("intermediate_size", .integer(intermediateSize)), ("num_hidden_layers", .integer(layers)),
            ("num_attention_heads", .integer(heads)), ("num_key_value_heads", .integer(keyValueHeads)),
            ("head_dim", .integer(headDimension)), ("rms_norm_eps", .number(normEpsilon)),
            ("max_position_embeddings", .integer(maximumPositions)), ("tie_word_embeddings", .bool(tiesEmbeddings)),
            ("rope_theta", .number(ropeTheta)), ("use_cache", true),
        ]
        keys += ropeKeys + own
        return .object(.init(keys, uniquingKeysWith: { $1 }))
    }

    /// Both forms: `rope_parameters` for current readers, `rope_scaling` beside `rope_theta` for older ones.
    private var ropeKeys: [(String, JSON)] {
        var scaling: [(String, JSON)]
        switch ropeScaling {
        case .none: scaling = [("rope_type", "default")]
        case .linear(let factor): scaling = [("rope_type", "linear"), ("factor", .number(factor))]
        case .llama3(let factor, let low, let high, let original):
            scaling = [
                ("rope_type", "llama3"), ("factor", .number(factor)), ("low_freq_factor", .number(low)),
                ("high_freq_factor", .number(high)), ("original_max_position_embeddings", .integer(original)),
            ]
        case .yarn(let factor, let fast, let slow, let original, let attentionFactor, let truncates):
            scaling = [
                ("rope_type", "yarn"), ("factor", .number(factor)), ("beta_fast", .number(fast)),
                ("beta_slow", .number(slow)), ("original_max_position_embeddings", .integer(original)),
                ("attention_factor", .number(attentionFactor)), ("truncate", .bool(truncates)),
            ]
        }
        let parameters = JSON.object(.init(scaling + [("rope_theta", .number(ropeTheta))], uniquingKeysWith: { $1 }))
        let older: JSON = ropeScaling == .none ? .null : .object(.init(scaling, uniquingKeysWith: { $1 }))
        return [("rope_parameters", parameters), ("rope_scaling", older)]
    }
}
