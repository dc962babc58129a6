import Tensors

/// What a forward pass depends on besides weights and tokens. It is passed down, never ambient, because recomputation runs layers
/// again later.
public struct ForwardContext {
    /// Records the pass; nil where no gradient is wanted, and then no activation is kept.
    public var tape: Tape?
    /// The sequences of the batch.
    public var layout: SequenceLayout
    /// The adapters that apply, by name, in order. Empty: the base model, which is the reference model of DPO and PPO at no memory.
    public var adapters: [String]
    /// Seed and optimizer step of dropout; nil where there is none, as in evaluation.
    public var dropout: DropoutStep?
    /// Which activations are computed again in the backward pass instead of being kept.
    public var recompute: Recompute
    /// How products are computed. A model sets it in every pass of its own.
    public private(set) var precision = Precision.f32
    /// Keys and values from outside the batch.
    public var keyValues: (any KeyValueStore)?
    /// Whether the batch is the few rows of a decoding step.
    public var isDecoding: Bool

    /// The seed of a run and the optimizer step it is at.
    public struct DropoutStep: Sendable {
        /// The run's seed.
        public var seed: UInt64
        /// The optimizer step, from 0.
        public var step: Int

        /// Makes a pair.
        public init(seed: UInt64, step: Int) {
            self.seed = seed
            self.step = step
        }
    }

    /// A context; without a tape nothing is recorded.
    public init(
        _ layout: SequenceLayout, tape: Tape? = nil, adapters: [String] = [], dropout: DropoutStep? = nil,
        recompute: Recompute = .none, keyValues: (any KeyValueStore)? = nil,
        isDecoding: Bool = false
    ) {
        self.layout = layout
        self.tape = tape
        self.adapters = adapters
        self.dropout = dropout
        self.recompute = recompute
        self.keyValues = keyValues
        self.isDecoding = isDecoding
    }

    /// How activations are stored between two products: in f32 where keys and values come from outside the batch, whose own type
    /// need not be that of the precision, and for the few rows of a decoding step.
    public var activations: DType { keyValues == nil && !isDecoding ? precision.activations : .f32 }

    /// A parameter's value, followed by the tape where there is one and the parameter is trainable.
    public func value(_ parameter: Parameter) -> Tensor { tape?.watch(parameter) ?? parameter.value }

    /// The dropout mask of one module over the whole batch; nil where nothing is dropped.
    public func dropoutMask(_ probability: Float, module path: String) -> DropoutMask? {
        guard probability > 0, let dropout else { return nil }
        return DropoutMask(
            probability: probability, key: RandomKey(seed: dropout.seed, purpose: path, step: dropout.step),
            rowKeys: layout.rowKeys, positions: layout.positions)
    }

    /// The same pass with products computed so.
    public func computing(in precision: Precision) -> ForwardContext {
        var copy = self
        copy.precision = precision
        return copy
    }

    /// The same pass over a batch that begins with virtual tokens.
    public func preceded(by prefix: VirtualPrefix) -> ForwardContext {
        guard !prefix.isEmpty else { return self }
        var copy = self
        copy.layout = layout.preceded(by: prefix)
        return copy
    }

    func with(tape: Tape?) -> ForwardContext {
        var copy = self
        copy.tape = tape
        return copy
    }
}

/// Keys and values from outside the batch, by layer: a cache. It begins with the virtual tokens of active adapters, if there are any.
public protocol KeyValueStore: AnyObject {
    /// What the layout's segments with an `outside` index read in this layer.
    func outside(layer: Int) -> [OutsideKeys]
    /// Takes the keys (rotated) and values `[T, kvHeads · headDimension]` that a layer computed for the rows of this batch.
    func store(layer: Int, keys: Tensor, values: Tensor)
}
