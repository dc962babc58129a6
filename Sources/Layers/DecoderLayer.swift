import Tensors

/// One pre-norm block of a decoder: `x += attention(norm(x))`, then `x += mlp(norm(x))`.
public final class DecoderLayer: Module {
    /// The block's attention.
    public let attention: Attention
    /// The block's feed-forward layer.
    public let mlp: GatedMLP
    private let inputNorm: RMSNorm
    private let postAttentionNorm: RMSNorm

    /// A block from its parts.
    public init(attention: Attention, mlp: GatedMLP, inputNorm: RMSNorm, postAttentionNorm: RMSNorm) {
        self.attention = attention
        self.mlp = mlp
        self.inputNorm = inputNorm
        self.postAttentionNorm = postAttentionNorm
    }

    /// The parts.
    public var children: [(name: String, module: any Module)] {
        [
            ("self_attn", attention), ("mlp", mlp), ("input_layernorm", inputNorm),
            ("post_attention_layernorm", postAttentionNorm),
        ]
    }

    /// `[T, hiddenSize]` to `[T, hiddenSize]`; run again in the backward pass where the context says so.
    public func callAsFunction(_ x: Tensor, _ angles: RotaryAngles, _ context: ForwardContext) -> Tensor {
        guard context.recomputesLayers, let tape = context.tape else { return forward(x, angles, context) }
        return tape.recomputed(x) { inner, x in self.forward(x, angles, context.with(tape: inner)) }
    }

    private func forward(_ x: Tensor, _ angles: RotaryAngles, _ context: ForwardContext) -> Tensor {
        let x = attention(inputNorm(x, context), angles, addedTo: x, context)
        return mlp(postAttentionNorm(x, context), addedTo: x, context)
    }
}
