import Tensors

/// One pre-norm block of a decoder: `x += attention(norm(x))`, then `x += mlp(norm(x))`.
public final class DecoderLayer: AdaptableModule {
    /// The block's attention.
    public let attention: Attention
    /// The block's feed-forward layer.
    public let mlp: GatedMLP
    /// What adapters make of the output of the block's parts.
    public var slot = AdapterSlot<any BlockAdapter>()
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
        ] + slot.children
    }

    /// `[T, hiddenSize]` to `[T, hiddenSize]`; run again in the backward pass where the context says so.
    ///
    /// - Parameters:
    ///   - x: the residual stream.
    ///   - angles: of the rows' positions.
    ///   - prefixes: the keys and values from outside that segments of the layout name, where there is no cache.
    ///   - context: of the forward pass.
    /// - Returns: the residual stream after the block.
    public func callAsFunction(
        _ x: Tensor, _ angles: RotaryAngles, prefixes: [OutsideKeys] = [], _ context: ForwardContext
    ) -> Tensor {
        let inputs = [x] + prefixes.flatMap { [$0.keys, $0.values] }
        return recomputed(inputs, context, where: context.recompute == .layer) { inputs, context in
            let x = self.recomputed(inputs, context, where: context.recompute == .attention) { inputs, context in
                let prefixes = stride(from: 1, to: inputs.count, by: 2).map {
                    OutsideKeys(keys: inputs[$0], values: inputs[$0 + 1])
                }
                return self.adapted(.attention, inputs[0], context) {
                    self.attention(self.inputNorm(inputs[0], context), angles, prefixes: prefixes, addedTo: $0, context)
                }
            }
            return self.adapted(.mlp, x, context) { self.mlp(self.postAttentionNorm(x, context), addedTo: $0, context) }
        }
    }

    /// Adds a part's output to the residual stream, or what the active adapters make of it.
    ///
    /// - Parameters:
    ///   - part: which part.
    ///   - x: the residual stream.
    ///   - context: of the forward pass.
    ///   - output: computes the output, added to what it is given.
    /// - Returns: the residual stream after the part.
    private func adapted(
        _ part: BlockPart, _ x: Tensor, _ context: ForwardContext, _ output: (Tensor?) -> Tensor
    ) -> Tensor {
        let adapters = slot.active(context).filter { $0.adapts(part) }
        guard let last = adapters.last else { return output(x) }
        let y = adapters.dropLast().reduce(output(nil)) { $1.adapted($0, after: part, addedTo: nil, context) }
        return last.adapted(y, after: part, addedTo: x, context)
    }

    /// Runs a part of the block, of which the tape keeps the inputs only where `isRunAgain`. A block below all that is trained is not
    /// recorded, so that the backward pass ends above it.
    private func recomputed(
        _ inputs: [Tensor], _ context: ForwardContext, where isRunAgain: Bool,
        _ part: @escaping ([Tensor], ForwardContext) -> Tensor
    ) -> Tensor {
        guard isRunAgain, let tape = context.tape, isTrained || inputs.contains(where: \.isTracked) else {
            return part(inputs, context)
        }
        return tape.recomputed(inputs) { inner, inputs in part(inputs, context.with(tape: inner)) }
    }
}

/// The parts of a block that write to the residual stream.
public enum BlockPart: String, CaseIterable, Sendable {
    /// Attention, its output projection included.
    case attention
    /// The feed-forward layer.
    case mlp
}

/// An adapter of one decoder block: it changes what a part of the block gives before that joins the residual stream.
public protocol BlockAdapter: Adapter {
    /// Whether it changes the output of a part.
    func adapts(_ part: BlockPart) -> Bool
    /// What it makes of the output `y [T, hiddenSize]` of a part that it adapts, plus `residual` where there is one, in f32.
    func adapted(_ y: Tensor, after part: BlockPart, addedTo residual: Tensor?, _ context: ForwardContext) -> Tensor
}
