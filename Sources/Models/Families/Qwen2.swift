import Files
import Layers

/// Qwen 2 and 2.5: Llama's blocks with biases on q, k and v.
public enum Qwen2: ModelFamily {
    /// `model_type`.
    public static let name = "qwen2"
    /// `architectures`.
    public static let architecture = "Qwen2ForCausalLM"
    /// `general.architecture`.
    public static let ggufArchitecture = "qwen2"

    /// Reads config.json.
    public static func configuration(huggingFace json: JSON, file: String) throws -> DecoderConfiguration {
        let reader = ConfigurationReader(values: json, file: file)
        var configuration = try DecoderConfiguration(family: name, huggingFace: reader)
        try reader.require("hidden_act", ["silu", "swish"], because: "the family's MLP gates with SiLU")
        if try reader.flag("use_sliding_window", default: false), reader.values["sliding_window"] != nil {
            let windowed = reader.values["layer_types"]?.array?.contains("sliding_attention") ?? true
            if windowed { throw reader.fault("use_sliding_window", "sliding-window attention is not supported") }
        }
        configuration.attentionBias = true
        return configuration
    }

    /// Reads GGUF metadata.
    public static func configuration(_ checkpoint: any Checkpoint, gguf metadata: JSON) throws -> DecoderConfiguration {
        var configuration = try DecoderConfiguration(
            family: name, checkpoint, gguf: metadata, architecture: ggufArchitecture)
        configuration.attentionBias = true
        return configuration
    }

    /// Writes config.json's keys.
    public static func huggingFaceConfiguration(_ configuration: DecoderConfiguration) -> JSON {
        configuration.huggingFace(
            architecture: architecture, [("use_sliding_window", false), ("sliding_window", .null)])
    }

    /// Rotary frequencies are computed; a tied head is the embedding.
    public static func mayIgnore(_ key: String, _ configuration: DecoderConfiguration) -> Bool {
        key.hasSuffix("rotary_emb.inv_freq")
            || (configuration.tiesEmbeddings && (key == "lm_head.weight" || key == "output.weight"))
    }

    /// Stored as in the checkpoint.
    public static func ggufPermutedHeads(_ parameter: String, _ configuration: DecoderConfiguration) -> Int? { nil }
}
