import Tensors

/// Updates of a layer that one op computes: `y = (x Wᵀ + bias + Σ terms) · factor + laterBias`.
private struct FusedUpdates {
    var operands: LinearOperands
    var factor: Tensor?
    var laterBias: Tensor?
}

/// Layers that read the same rows `[T, in]`: in one op where their adapters allow it.
///
/// - Parameters:
///   - x: the rows.
///   - layers: the layers.
///   - types: how each result is stored, outside decoding.
///   - addend: `[T, out]` in f32, added to the result of a single layer: the residual stream.
///   - context: of the forward pass.
/// - Returns: a result a layer.
func project(
    _ x: Tensor, through layers: [Linear], as types: [DType], addend: Tensor? = nil, _ context: ForwardContext
) -> [Tensor] {
    let updates = layers.map { $0.updates(context) }
    let fused = zip(layers, updates).compactMap { $0.fused($1, context) }
    guard fused.count == layers.count else {
        return zip(zip(layers, updates), types).map { layer, type in
            let y = layer.0.composed(layer.1[...], x, bias: layer.0.activeBias(context), context)
            return (addend.map { y + $0 } ?? y).stored(as: context.isDecoding ? .f32 : type)
        }
    }
    // The residual comes last, after a factor.
    let isScaled = fused.contains { $0.factor != nil }
    let (first, stored) = isScaled ? (nil, addend == nil ? types : [context.activations]) : (addend, types)
    let outputs =
        context.isDecoding
        ? decodingLinear(x, through: fused.map(\.operands), addend: first)
        : linear(x, through: fused.map(\.operands), addend: first, as: stored)
    return zip(zip(fused, outputs), types).map { layer, type in
        guard let factor = layer.0.factor else { return layer.1 }
        return layer.1.scalingColumns(
            by: factor, bias: layer.0.laterBias, addend: addend, as: context.isDecoding ? .f32 : type)
    }
}

extension Linear {
    /// What the active adapters do, in order.
    func updates(_ context: ForwardContext) -> [LinearUpdate] {
        slot.active(context).flatMap { $0.updates(context) }
    }

    /// The updates as one op where they are low-rank terms and at most a factor after them; nil otherwise.
    fileprivate func fused(_ updates: [LinearUpdate], _ context: ForwardContext) -> FusedUpdates? {
        let bias = activeBias(context)
        var fused = FusedUpdates(
            operands: LinearOperands(weight: activeWeight(context), bias: bias, precision: context.precision))
        for update in updates {
            guard fused.factor == nil else { return nil }
            switch update {
            case .lowRank(let term): fused.operands.lowRank.append(term)
            case .lowRankScaled(let term, let beside, let factor):
                guard term.dropout == nil else { return nil }
                fused.operands.lowRank += (beside.map { [$0] } ?? []) + [term]
                (fused.factor, fused.laterBias, fused.operands.bias) = (factor, bias, nil)
            case .scaleInput: return nil
            case .scaleOutput(let factor): fused.factor = factor
            }
        }
        return fused
    }

    /// Any updates, one after the other, in f32.
    ///
    /// It goes from the last update to the first, since an update changes all before it.
    ///
    /// - Parameters:
    ///   - updates: those not yet applied.
    ///   - x: what they read.
    ///   - terms: low-rank terms that come after them and read the same.
    ///   - bias: the layer's bias, unless it is added elsewhere.
    ///   - context: of the forward pass.
    /// - Returns: what they make of x, in f32.
    func composed(
        _ updates: ArraySlice<LinearUpdate>, _ x: Tensor, terms: [LowRankTerm] = [], bias: Tensor?,
        _ context: ForwardContext
    ) -> Tensor {
        let rest = updates.dropLast()
        let inner: Tensor
        switch updates.last {
        case nil: return product(x, activeWeight(context), bias: bias, terms: terms, context)
        case .lowRank(let term): return composed(rest, x, terms: [term] + terms, bias: bias, context)
        case .lowRankScaled(let term, let beside, let factor):
            inner = decomposed(term, beside.map { [$0] } ?? [], factor, after: rest, x, bias: bias, context)
        case .scaleInput(let factor):
            inner = composed(rest, x.scalingColumns(by: factor, as: x.dtype), bias: bias, context)
        case .scaleOutput(let factor): inner = composed(rest, x, bias: bias, context).scalingColumns(by: factor)
        }
        return terms.reduce(inner) { $0 + value(of: $1, at: $1.dropout?.dropping(x) ?? x, context) }
    }

    /// A scaled term after other updates. Their bias stays as it is; dropout drops for the base product too, of which the terms beside are
    /// part.
    private func decomposed(
        _ term: LowRankTerm, _ beside: [LowRankTerm], _ factor: Tensor, after rest: ArraySlice<LinearUpdate>,
        _ x: Tensor, bias: Tensor?,
        _ context: ForwardContext
    ) -> Tensor {
        guard let dropout = term.dropout else {
            let scaledBias = rest.reduce(bias) { bias, update in
                if case .scaleOutput(let factor) = update { bias?.scalingColumns(by: factor) } else { bias }
            }
            return composed(rest, x, terms: beside + [term], bias: nil, context)
                .scalingColumns(by: factor, bias: scaledBias)
        }
        let dropped = dropout.dropping(x)
        let base = product(dropped, activeWeight(context), terms: beside, context)
        let scaled = (base + value(of: term, at: dropped, context)).scalingColumns(by: factor)
        return composed(rest, x, terms: beside, bias: bias, context) + scaled + base.scaled(by: -1)
    }

    /// `scale · x Aᵀ Bᵀ`.
    private func value(of term: LowRankTerm, at x: Tensor, _ context: ForwardContext) -> Tensor {
        let hidden = product(x, term.a, context).stored(as: context.activations)
        return product(hidden, term.b, context).scaled(by: term.scale)
    }

    private func product(
        _ x: Tensor, _ weight: Tensor, bias: Tensor? = nil, terms: [LowRankTerm] = [], _ context: ForwardContext
    ) -> Tensor {
        LinearOperands(weight: weight, bias: bias, lowRank: terms, precision: context.precision)(
            x, isDecoding: context.isDecoding)
    }
}
