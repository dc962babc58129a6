import Files
import Layers
import Tensors
import Tokenizers

extension DecoderConfiguration {
    /// The metadata that llama.cpp's converter writes for Llama and its descendants under `<architecture>.`.
    ///
    /// - Throws: `InputError` for a scaling of rotary frequencies that the format has no key for.
    func ggufMetadata(architecture: String) throws -> [(key: String, value: GGUFEntry)] {
        var entries: [(String, GGUFEntry)] = [
            ("block_count", .size(layers)), ("context_length", .size(maximumPositions)),
            ("embedding_length", .size(hiddenSize)), ("feed_forward_length", .size(intermediateSize)),
            ("attention.head_count", .size(heads)), ("attention.head_count_kv", .size(keyValueHeads)),
            ("attention.key_length", .size(headDimension)), ("attention.value_length", .size(headDimension)),
            ("attention.layer_norm_rms_epsilon", .float32(Float(normEpsilon))),
            ("rope.dimension_count", .size(headDimension)), ("rope.freq_base", .float32(Float(ropeTheta))),
            ("vocab_size", .size(vocabularySize)),
        ]
        switch ropeScaling {
        case .none, .llama3: break  // Llama 3's is a tensor of divisors.
        case .linear(let factor):
            entries += [("rope.scaling.type", .string("linear")), ("rope.scaling.factor", .float32(Float(factor)))]
        case .yarn(let factor, let fast, let slow, let original, let attentionFactor, let truncates):
            guard truncates else {
                throw InputError("GGUF has no word for YaRN with `truncate: false`")
            }
            entries += [
                ("rope.scaling.type", .string("yarn")), ("rope.scaling.factor", .float32(Float(factor))),
                ("rope.scaling.original_context_length", .size(original)),
                ("rope.scaling.yarn_beta_fast", .float32(Float(fast))),
                ("rope.scaling.yarn_beta_slow", .float32(Float(slow))),
                // Counted on top of YaRN's own factor.
                (
                    "rope.scaling.attn_factor",
                    .float32(Float(attentionFactor / RotaryEmbedding.yarnAttentionFactor(factor)))
                ),
            ]
        }
        return entries.map { ("\(architecture).\($0.0)", $0.1) }
    }

    /// What Llama 3's scaling divides each rotary frequency by, as a tensor; nil without such a scaling.
    var ggufFrequencyDivisors: GGUFTensor? {
        guard case .llama3 = ropeScaling else { return nil }
        let plain = RotaryEmbedding(headDimension: headDimension, theta: ropeTheta)
        let scaled = RotaryEmbedding(headDimension: headDimension, theta: ropeTheta, scaling: ropeScaling)
        let divisors = zip(plain.frequencies, scaled.frequencies).map { Float($0 / $1) }
        return GGUFTensor(name: "rope_freqs.weight", shape: [divisors.count], storage: .f32) {
            Tensor(divisors, shape: [divisors.count])
        }
    }
}

extension TokenizerVocabulary {
    /// The keys of ggml's `docs/gguf.md`, those left out that the vocabulary says nothing about.
    var ggufMetadata: [(key: String, value: GGUFEntry)] {
        let entries: [(String, GGUFEntry?)] = [
            ("tokenizer.ggml.model", .string(model)), ("tokenizer.ggml.pre", pre.map { .string($0) }),
            ("tokenizer.ggml.tokens", .strings(tokens)), ("tokenizer.ggml.scores", scores.map { .float32s($0) }),
            ("tokenizer.ggml.token_type", tokenTypes.map { .int32s($0) }),
            ("tokenizer.ggml.merges", merges.map { .strings($0) }),
            ("tokenizer.ggml.bos_token_id", bos.map { .size(Int($0)) }),
            ("tokenizer.ggml.eos_token_id", eos.map { .size(Int($0)) }),
            ("tokenizer.ggml.unknown_token_id", unknown.map { .size(Int($0)) }),
            ("tokenizer.ggml.padding_token_id", padding.map { .size(Int($0)) }),
            ("tokenizer.ggml.add_bos_token", addBOS.map { .bool($0) }),
            ("tokenizer.ggml.add_eos_token", addEOS.map { .bool($0) }),
            ("tokenizer.ggml.add_space_prefix", addSpacePrefix.map { .bool($0) }),
            ("tokenizer.chat_template", chatTemplate.map { .string($0) }),
        ]
        return entries.compactMap { key, value in value.map { (key, $0) } }
    }
}
