import Files
import Foundation
import Layers
import Tensors

/// Feeds a model from a checkpoint, and keeps account: what was asked for and is missing, what is there and was not asked for.
final class CheckpointParameters: ParameterSource {
    private let checkpoint: any Checkpoint
    private let family: any ModelFamily.Type
    private let configuration: DecoderConfiguration
    private let weights: DType
    private let names: Set<String>
    private var read: Set<String> = []

    init(
        _ checkpoint: any Checkpoint, family: any ModelFamily.Type, _ configuration: DecoderConfiguration,
        weights: DType
    ) {
        self.checkpoint = checkpoint
        self.family = family
        self.configuration = configuration
        self.weights = weights
        names = Set(checkpoint.tensorNames)
    }

    func tensor(_ path: String, shape: [Int]) throws -> Tensor {
        let name = checkpoint.format == .gguf ? Self.ggufName(path) : path
        guard names.contains(name) else {
            throw InputError("the checkpoint has no tensor \(name)", file: checkpoint.path, place: name)
        }
        let stored = try checkpoint.shape(of: name)
        guard stored == shape else {
            throw InputError(
                "the tensor has shape \(stored), the configuration asks for \(shape)", file: checkpoint.path,
                place: name)
        }
        read.insert(name)
        var tensor = try Tensor(shape: shape) { try checkpoint.readFloats(name, into: $0) }
        if checkpoint.format == .gguf, let heads = family.ggufPermutedHeads(path, configuration) {
            let order = huggingFaceRowOrder(rows: shape[0], heads: heads).map { Int32($0) }
            tensor = gatherRows(tensor.reshaped([shape[0], shape.dropFirst().reduce(1, *)]), order).reshaped(shape)
        }
        return shape.count == 2 ? tensor.converted(to: weights) : tensor
    }

    /// Fails where the checkpoint holds tensors that the model did not ask for and the family may not ignore.
    func checkAllRead() throws {
        let unexpected = checkpoint.tensorNames.filter { !read.contains($0) && !family.mayIgnore($0, configuration) }
        guard unexpected.isEmpty else {
            throw InputError(
                "\(unexpected.count) tensors are not part of the model that the configuration describes: "
                    + unexpected.prefix(8).joined(separator: ", ") + (unexpected.count > 8 ? ", …" : ""),
                file: checkpoint.path)
        }
    }

    /// llama.cpp's name of a parameter.
    static func ggufName(_ path: String) -> String {
        var name = path
        for (ours, theirs) in [
            ("model.embed_tokens.", "token_embd."), ("model.norm.", "output_norm."), ("lm_head.", "output."),
            ("model.layers.", "blk."), ("self_attn.q_proj.", "attn_q."), ("self_attn.k_proj.", "attn_k."),
            ("self_attn.v_proj.", "attn_v."), ("self_attn.o_proj.", "attn_output."), ("mlp.gate_proj.", "ffn_gate."),
            ("mlp.up_proj.", "ffn_up."), ("mlp.down_proj.", "ffn_down."), ("input_layernorm.", "attn_norm."),
            ("post_attention_layernorm.", "ffn_norm."),
        ] {
            if let range = name.range(of: ours) { name.replaceSubrange(range, with: theirs) }
        }
        return name
    }
}
