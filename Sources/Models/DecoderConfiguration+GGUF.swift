import Files
import Layers

extension DecoderConfiguration {
    /// The metadata that llama.cpp's converter writes for Llama and its descendants under `<architecture>.`.
    init(family: String, _ checkpoint: any Checkpoint, gguf metadata: JSON, architecture: String) throws {
        let reader = ConfigurationReader(values: metadata, file: checkpoint.path)
        func key(_ name: String) -> String { "\(architecture).\(name)" }
        let heads = try reader.size(key("attention.head_count"))
        let hiddenSize = try reader.size(key("embedding_length"))
        let headDimension = try reader.size(key("attention.key_length"), default: hiddenSize / heads)
        if try reader.size(key("rope.dimension_count"), default: headDimension) != headDimension {
            throw reader.fault(key("rope.dimension_count"), "rotation of a part of each head is not supported")
        }
        if reader.values[key("attention.sliding_window")] != nil,
            try reader.size(key("attention.sliding_window")) < reader.size(key("context_length"), default: 2048)
        {
            throw reader.fault(key("attention.sliding_window"), "sliding-window attention is not supported")
        }
        let table = try checkpoint.shape(of: "token_embd.weight")
        guard table.count == 2 else {
            throw InputError(
                "has the shape \(table), not that of a table", file: checkpoint.path, place: "`token_embd.weight`")
        }
        self.init(
            family: family, vocabularySize: table[0], hiddenSize: hiddenSize,
            intermediateSize: try reader.size(key("feed_forward_length")), layers: try reader.size(key("block_count")),
            heads: heads, keyValueHeads: try reader.size(key("attention.head_count_kv"), default: heads),
            headDimension: headDimension,
            normEpsilon: try reader.number(key("attention.layer_norm_rms_epsilon"), default: 1e-5),
            ropeTheta: try reader.number(key("rope.freq_base"), default: 10000), ropeScaling: .none,
            maximumPositions: try reader.size(key("context_length"), default: 2048), attentionBias: false,
            attentionOutputBias: false, mlpBias: false,
            tiesEmbeddings: !checkpoint.tensorNames.contains("output.weight"))
        try checkShape(reader)
        ropeScaling = try Self.ggufRope(reader, checkpoint, key: key, self)
    }

    private static func ggufRope(
        _ reader: ConfigurationReader, _ checkpoint: any Checkpoint, key: (String) -> String,
        _ configuration: DecoderConfiguration
    ) throws -> RotaryEmbedding.Scaling {
        if checkpoint.tensorNames.contains("rope_freqs.weight") { return try llama3Scaling(checkpoint, configuration) }
        let type = try reader.string(key("rope.scaling.type")) ?? "none"
        let original = try reader.size(
            key("rope.scaling.original_context_length"), default: configuration.maximumPositions)
        switch type {
        case "none": return .none
        case "linear": return .linear(factor: try reader.number(key("rope.scaling.factor")))
        case "yarn":
            let factor = try reader.number(key("rope.scaling.factor"))
            return .yarn(
                factor: factor, betaFast: try reader.number(key("rope.scaling.yarn_beta_fast"), default: 32),
                betaSlow: try reader.number(key("rope.scaling.yarn_beta_slow"), default: 1),
                originalPositions: original,
                attentionFactor: RotaryEmbedding.yarnAttentionFactor(factor)
                    * (try reader.number(key("rope.scaling.attn_factor"), default: 1)), truncates: true)
        default:
            throw reader.fault(key("rope.scaling.type"), "rotary scaling of type \"\(type)\" is not supported")
        }
    }

    /// A GGUF file holds Llama 3's scaling as one divisor a frequency. Finds the rule that gives these divisors, so that a
    /// config.json can be written for it.
    private static func llama3Scaling(
        _ checkpoint: any Checkpoint, _ configuration: DecoderConfiguration
    ) throws -> RotaryEmbedding.Scaling {
        let name = "rope_freqs.weight"
        let pairs = configuration.headDimension / 2
        guard try checkpoint.shape(of: name) == [pairs] else {
            throw InputError("the tensor has another shape than [\(pairs)]", file: checkpoint.path, place: name)
        }
        var divisors = [Float](repeating: 0, count: pairs)
        try divisors.withUnsafeMutableBufferPointer { try checkpoint.readFloats(name, into: $0) }
        if divisors.allSatisfy({ $0 == 1 }) { return .none }
        let factor = Double(divisors.max() ?? 1)
        let plain = RotaryEmbedding(headDimension: configuration.headDimension, theta: configuration.ropeTheta)
        for exponent in 4...20 {
            let candidate = RotaryEmbedding.Scaling.llama3(
                factor: factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: 1 << exponent)
            let scaled = RotaryEmbedding(
                headDimension: configuration.headDimension, theta: configuration.ropeTheta, scaling: candidate)
            let agrees = zip(zip(plain.frequencies, scaled.frequencies), divisors).allSatisfy { pair, divisor in
                abs(pair.0 / pair.1 - Double(divisor)) <= 1e-4 * Double(divisor)
            }
            if agrees { return candidate }
        }
        throw InputError(
            "the frequency divisors follow no known rule", file: checkpoint.path, place: name,
            hint: "Llama 3's rule with frequency factors 1 and 4 is supported")
    }
}
