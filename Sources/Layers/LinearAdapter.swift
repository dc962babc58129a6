import Tensors

/// An adapter of one linear layer. It describes its update, so that the base product runs once, several adapters stack, and the layer
/// can fuse them.
public protocol LinearAdapter: Module {
    /// What it adds in a context.
    func update(_ context: ForwardContext) -> LinearUpdate
    /// The weight with the update folded in; must agree with ``update(_:)`` without dropout.
    func merged(into weight: Tensor) -> Tensor
}

/// How an adapter changes `y = x Wᵀ`.
public enum LinearUpdate {
    /// `y += scale · dropout(x) Aᵀ Bᵀ`: LoRA, rsLoRA.
    case lowRank(LowRankTerm)
}
