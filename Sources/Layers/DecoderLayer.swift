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
        recomputed(x, context, where: context.recompute == .layer) { x, context in
            let x = self.recomputed(x, context, where: context.recompute == .attention) { x, context in
                self.attention(self.inputNorm(x, context), angles, addedTo: x, context)
            }
            return self.mlp(self.postAttentionNorm(x, context), addedTo: x, context)
        }
    }

    /// Runs a part of the block, of which the tape keeps the input only where `isRunAgain`. A block below all that is trained is not
    /// recorded, so that the backward pass ends above it.
    private func recomputed(
        _ x: Tensor, _ context: ForwardContext, where isRunAgain: Bool,
        _ part: @escaping (Tensor, ForwardContext) -> Tensor
    ) -> Tensor {
        guard isRunAgain, let tape = context.tape, x.isTracked || isTrained else { return part(x, context) }
        return tape.recomputed(x) { inner, x in part(x, context.with(tape: inner)) }
    }
}
