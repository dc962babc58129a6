import Files
import Layers

/// Llama 1 to 3, SmolLM2, TinyLlama, Mistral-shaped exports under `llama`: no biases by default, rotary positions, SwiGLU.
public enum Llama: ModelFamily {
    /// `model_type`.
    public static let name = "llama"
    /// `architectures`.
    public static let architecture = "LlamaForCausalLM"
    /// `general.architecture`.
    public static let ggufArchitecture = "llama"

    /// Reads config.json.
    public static func configuration(huggingFace json: JSON, file: String) throws -> DecoderConfiguration {
        let reader = ConfigurationReader(values: json, file: file)
        var configuration = try DecoderConfiguration(family: name, huggingFace: reader)
        try reader.require("hidden_act", ["silu", "swish"], because: "the family's MLP gates with SiLU")
        try reader.require("pretraining_tp", [1], because: "weights split for tensor parallelism give other numbers")
        configuration.attentionBias = try reader.flag("attention_bias", default: false)
        configuration.attentionOutputBias = configuration.attentionBias
        configuration.mlpBias = try reader.flag("mlp_bias", default: false)
        return configuration
    }

    /// Reads GGUF metadata.
    public static func configuration(_ checkpoint: any Checkpoint, gguf metadata: JSON) throws -> DecoderConfiguration {
        var configuration = try DecoderConfiguration(
            family: name, checkpoint, gguf: metadata, architecture: ggufArchitecture)
        // No key says so: the biases are there or not.
        let names = Set(checkpoint.tensorNames)
        configuration.attentionBias = names.contains("blk.0.attn_q.bias")
        configuration.attentionOutputBias = names.contains("blk.0.attn_output.bias")
        configuration.mlpBias = names.contains("blk.0.ffn_up.bias")
        return configuration
    }

    /// Writes config.json's keys.
    public static func huggingFaceConfiguration(_ configuration: DecoderConfiguration) -> JSON {
        configuration.huggingFace(
            architecture: architecture,
            [
                ("attention_bias", .bool(configuration.attentionBias)), ("mlp_bias", .bool(configuration.mlpBias)),
            ])
    }

    /// Rotary frequencies are computed; a tied head is the embedding.
    public static func mayIgnore(_ key: String, _ configuration: DecoderConfiguration) -> Bool {
        key.hasSuffix("rotary_emb.inv_freq") || key == "rope_freqs.weight"
            || (configuration.tiesEmbeddings && (key == "lm_head.weight" || key == "output.weight"))
    }

    /// llama.cpp's converter stores the rows of q and k so that rotary pairs are neighbours.
    public static func ggufPermutedHeads(_ parameter: String, _ configuration: DecoderConfiguration) -> Int? {
        if parameter.contains(".self_attn.q_proj.") { return configuration.heads }
        if parameter.contains(".self_attn.k_proj.") { return configuration.keyValueHeads }
        return nil
    }
}
