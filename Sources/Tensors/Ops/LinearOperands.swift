/// One low-rank term of a linear layer: `scale · dropout(x) Aᵀ Bᵀ` (Hu et al. 2021).
public struct LowRankTerm {
    /// `[r, in]`.
    public var a: Tensor
    /// `[out, r]`.
    public var b: Tensor
    /// `lora_alpha / r`, or `lora_alpha / sqrt(r)` for rsLoRA.
    public var scale: Float
    /// Applied to x before A; nil for none.
    public var dropout: DropoutMask?

    /// Makes a term.
    public init(a: Tensor, b: Tensor, scale: Float, dropout: DropoutMask? = nil) {
        precondition(a.rows == b.columns, "A of shape \(a.shape) and B of shape \(b.shape) do not multiply")
        self.a = a
        self.b = b
        self.scale = scale
        self.dropout = dropout
    }
}

/// Everything a linear layer multiplies by: `y = x Wᵀ + bias + Σ scale · dropout(x) Aᵀ Bᵀ`.
///
/// One value, so that a single op computes it (and its gradient) whatever adapters are active: ``linear(_:through:addend:as:)`` for
/// the layers of a block, and the chunked head of ``headCrossEntropy(_:head:targets:coefficients:)``.
public struct LinearOperands {
    /// `[out, in]`, in any storage type.
    public var weight: Tensor
    /// `[out]`, or nil.
    public var bias: Tensor?
    /// Terms in the order they apply.
    public var lowRank: [LowRankTerm]
    /// How products are computed.
    public var precision: Precision

    /// Collects operands.
    public init(weight: Tensor, bias: Tensor? = nil, lowRank: [LowRankTerm] = [], precision: Precision = .f32) {
        for term in lowRank {
            precondition(
                term.a.columns == weight.columns && term.b.rows == weight.rows,
                "A of shape \(term.a.shape) and B of shape \(term.b.shape) on a weight of shape \(weight.shape)")
        }
        self.weight = weight
        self.bias = bias
        self.lowRank = lowRank
        self.precision = precision
    }

    /// The same operands for some rows of the batch: dropout goes by row, all else is shared.
    public func selecting(rows: [Int32]) -> LinearOperands {
        var copy = self
        for index in copy.lowRank.indices {
            copy.lowRank[index].dropout = lowRank[index].dropout?.selecting(rows: rows)
        }
        return copy
    }

    /// The tensors that can have a gradient: weight, bias, then A and B of each term.
    var tensors: [Tensor] { [weight] + (bias.map { [$0] } ?? []) + lowRank.flatMap { [$0.a, $0.b] } }

    var isTracked: Bool { tensors.contains { $0.isTracked } }
}
