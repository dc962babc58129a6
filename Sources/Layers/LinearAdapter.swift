import Tensors

/// An adapter of one linear layer. It describes its update, so that the base product runs once, several adapters stack, and the layer
/// can fuse them.
public protocol LinearAdapter: Adapter {
    /// What it does in a context, in order.
    func updates(_ context: ForwardContext) -> [LinearUpdate]
    /// A weight that stands in for the layer's own before any update; nil for the layer's.
    var ownWeight: Parameter? { get }
    /// A bias, likewise.
    var ownBias: Parameter? { get }
    /// The weight with the updates folded in; must agree with ``updates(_:)`` without dropout.
    func merged(into weight: Tensor) -> Tensor
    /// The bias with the updates folded in, likewise.
    func merged(intoBias bias: Tensor) -> Tensor
}

extension LinearAdapter {
    /// Most adapters leave the weight to the layer.
    public var ownWeight: Parameter? { nil }
    /// And the bias.
    public var ownBias: Parameter? { nil }
    /// Most updates are of the weight alone.
    public func merged(intoBias bias: Tensor) -> Tensor { bias }
}

/// How an adapter changes what a layer computes so far, which begins as `y = x Wᵀ + bias`.
public enum LinearUpdate {
    /// `y += scale · dropout(x) Aᵀ Bᵀ`: LoRA, rsLoRA.
    case lowRank(LowRankTerm)
    /// `y - bias` becomes `(y - bias + scale · x Aᵀ Bᵀ) · factor`: DoRA, by `m / ‖W + s B A‖`, `[out]` numbers. With dropout,
    /// `y += dropout(x) Wᵀ · (factor - 1) + scale · dropout(x) Aᵀ Bᵀ · factor`. The term beside it, which has no dropout, is part of W here.
    case lowRankScaled(LowRankTerm, beside: LowRankTerm?, by: Tensor)
    /// All before it reads `x · factor`: IA³ of a feed-forward layer. `[in]` numbers.
    case scaleInput(Tensor)
    /// `y` becomes `y · factor`, bias included: IA³ of other layers. `[out]` numbers.
    case scaleOutput(Tensor)
}

extension LinearUpdate {
    /// The same for some rows of the batch: dropout goes by row, all else is shared.
    func selecting(rows: [Int32]) -> LinearUpdate {
        switch self {
        case .lowRank(let term): .lowRank(term.selecting(rows: rows))
        case .lowRankScaled(let term, let beside, let factor):
            .lowRankScaled(term.selecting(rows: rows), beside: beside, by: factor)
        case .scaleInput, .scaleOutput: self
        }
    }
}

extension LowRankTerm {
    fileprivate func selecting(rows: [Int32]) -> LowRankTerm {
        var copy = self
        copy.dropout = dropout?.selecting(rows: rows)
        return copy
    }
}
