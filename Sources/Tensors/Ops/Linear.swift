import CKernels

/// Linear layers that read the same input, in one op: `yᵢ = x Wᵢᵀ + biasᵢ + Σ scale · dropout(x) Aᵢᵀ Bᵢᵀ`.
///
/// Their gradients of x are one product of several terms, so x's gradient is written once however many layers and adapters there are.
///
/// - Parameters:
///   - x: `[T, in]`.
///   - layers: what each multiplies by.
///   - addend: `[T, out]` in f32, added to the output of a single layer: the residual stream.
///   - types: how each output is stored.
/// - Returns: an output a layer.
public func linear(
    _ x: Tensor, through layers: [LinearOperands], addend: Tensor? = nil, as types: [DType]
) -> [Tensor] {
    precondition(layers.count == types.count && (addend == nil || layers.count == 1), "an addend is for one layer")
    let passes = zip(layers, types).map { $0.forward(x, addend: addend?.detached, as: $1) }
    return recorded(passes, x, layers, addend)
}

/// ``linear(_:through:addend:as:)`` for the few rows of a decoding step, which have a kernel of their own: it reads each weight once.
/// All in f32.
public func decodingLinear(_ x: Tensor, through layers: [LinearOperands], addend: Tensor? = nil) -> [Tensor] {
    precondition(addend == nil || layers.count == 1, "an addend is for one layer")
    var first: [DecodingProduct] = []
    let passes = layers.map { layer in
        precondition(
            x.columns == layer.weight.columns, "an input of shape \(x.shape) for a weight of \(layer.weight.shape)")
        let y = Tensor(uninitialized: [x.rows, layer.weight.rows], device: x.device)
        first.append(DecodingProduct(out: y, a: x, b: layer.weight, addend: addend))
        let hidden = layer.lowRank.map { term in
            let u = Tensor(uninitialized: [x.rows, term.a.rows], device: x.device)
            first.append(DecodingProduct(out: u, a: term.dropout.map { $0(x) } ?? x, b: term.a))
            return u
        }
        return (y: y, hidden: hidden)
    }
    DecodingProduct.run(first)
    for (layer, pass) in zip(layers, passes) { layer.addBias(to: pass.y) }
    // Terms of one layer add to the same output, one after the other.
    for number in 0..<(layers.map(\.lowRank.count).max() ?? 0) {
        DecodingProduct.run(
            zip(layers, passes).filter { $0.0.lowRank.count > number }.map { layer, pass in
                let term = layer.lowRank[number]
                return DecodingProduct(
                    out: pass.y, a: pass.hidden[number], b: term.b, addend: pass.y, factor: term.scale)
            })
    }
    return recorded(passes, x, layers, addend)
}

/// The outputs of layers on the tape of what they were computed from.
private func recorded(
    _ passes: [(y: Tensor, hidden: [Tensor])], _ x: Tensor, _ layers: [LinearOperands], _ addend: Tensor?
) -> [Tensor] {
    let outputs = passes.map(\.y)
    let inputs = [x] + (addend.map { [$0] } ?? []) + layers.flatMap(\.tensors)
    guard let tape = inputs.firstTape else { return outputs }
    let gradient = LinearGradient(
        layers: layers, hidden: passes.map(\.hidden), input: x.kept, inputType: x.dtype, wantsInput: x.isTracked)
    return tape.record(outputs, inputs: inputs) { upstream in
        var gradients = gradient(upstream)
        // The addend's gradient is that of the output.
        if addend != nil { gradients.insert(upstream[0], at: 1) }
        return gradients
    }
}

/// `out = addend + factor · a bᵀ`.
private struct DecodingProduct {
    var out: Tensor
    var a: Tensor
    var b: Tensor
    var addend: Tensor?
    var factor: Float = 1

    /// Products side by side, of which none reads what another writes.
    static func run(_ products: [DecodingProduct]) {
        guard let first = products.first else { return }
        let terms = products.map {
            matvec_product(
                out: $0.out.floats, a: $0.a.floats, b: $0.b.matrix, addend: $0.addend?.floats, n: Int64($0.b.rows),
                k: Int64($0.b.columns), factor: $0.factor)
        }
        withExtendedLifetime(products) {
            first.a.device.kernels.matvec_nt(terms, Int32(terms.count), Int64(first.a.rows))
        }
    }
}

extension LinearOperands {
    /// `y [T, out]` for `x [T, in]`, recorded on the tape.
    ///
    /// - Parameters:
    ///   - x: the input.
    ///   - isDecoding: whether these are the few rows of a decoding step, which have a kernel of their own.
    /// - Returns: y, in f32.
    public func callAsFunction(_ x: Tensor, isDecoding: Bool = false) -> Tensor {
        isDecoding ? decodingLinear(x, through: [self])[0] : linear(x, through: [self], as: [.f32])[0]
    }

    /// The product, and each term's `dropout(x) Aᵀ [T, r]` for the backward pass.
    func forward(_ x: Tensor, addend: Tensor? = nil, as type: DType = .f32) -> (y: Tensor, hidden: [Tensor]) {
        precondition(x.columns == weight.columns, "an input of shape \(x.shape) for a weight of shape \(weight.shape)")
        let hidden = lowRank.map { term in
            product(
                [ProductTerm(a: term.dropout.map { $0(x) } ?? x, b: term.a, transposesB: true)],
                as: precision.activations, precision: precision)
        }
        let terms = zip(lowRank, hidden).map { ProductTerm(a: $1, b: $0.b, factor: $0.scale, transposesB: true) }
        let y = product(
            [ProductTerm(a: x, b: weight, transposesB: true)] + terms, addend: addend, as: type, precision: precision)
        addBias(to: y)
        return (y, hidden)
    }

    fileprivate func addBias(to y: Tensor) {
        if let bias { y.device.kernels.add_bias(y.array, bias.floats, Int64(y.rows), Int64(y.columns)) }
    }
}

/// The backward pass of ``linear(_:through:addend:as:)``.
///
/// In the forward pass this was: yᵢ = x Wᵢᵀ + biasᵢ + Σ s u Bᵀ with u = dropout(x) Aᵀ.
/// So we have: dx = Σᵢ dyᵢ Wᵢ + Σ dropout(du A), du = s dy B; dW = dyᵀ x, dbias = Σ dy, dB = s dyᵀ u, dA = duᵀ dropout(x).
struct LinearGradient {
    let layers: [LinearOperands]
    let hidden: [[Tensor]]
    let input: () -> Tensor
    let inputType: DType
    let wantsInput: Bool

    /// The gradients of x and of each layer's tensors, given those of the outputs; nil where nothing asks for one.
    func callAsFunction(_ upstream: [Tensor?]) -> [Tensor?] {
        let readsInput = layers.contains { $0.weight.isTracked || $0.lowRank.contains { $0.a.isTracked } }
        let x = readsInput ? input() : nil
        var terms: [ProductTerm] = []
        var dropped: Tensor?
        var gradients: [Tensor?] = []
        for (layer, (dy, hidden)) in zip(layers, zip(upstream, hidden)) {
            guard let dy else {
                gradients += layer.tensors.map { _ in nil }
                continue
            }
            if wantsInput { terms.append(ProductTerm(a: dy, b: layer.weight)) }
            gradients.append(layer.weight.isTracked ? x.map { layer.sumOverTokens(dy, $0) } : nil)
            if let bias = layer.bias { gradients.append(bias.isTracked ? dy.sumOfRows : nil) }
            for (term, u) in zip(layer.lowRank, hidden) {
                let du = layer.hiddenGradient(dy, term)
                let seen = term.a.isTracked ? x.map { x in term.dropout.map { $0(x) } ?? x } : nil
                gradients.append(seen.map { layer.sumOverTokens(du, $0) })
                gradients.append(term.b.isTracked ? layer.sumOverTokens(dy, u, factor: term.scale) : nil)
                guard wantsInput else { continue }
                if let dropout = term.dropout {
                    let gradient = dropout(product([ProductTerm(a: du, b: term.a)], precision: layer.precision))
                    if let dropped { dropped.addInPlace(gradient) } else { dropped = gradient }
                } else {
                    terms.append(ProductTerm(a: du, b: term.a))
                }
            }
        }
        let precision = layers[0].precision
        let dx = terms.isEmpty ? nil : product(terms, addend: dropped, as: inputType, precision: precision)
        return [dx] + gradients
    }
}

extension LinearOperands {
    /// `du = s dy B`.
    fileprivate func hiddenGradient(_ dy: Tensor, _ term: LowRankTerm) -> Tensor {
        product(
            [ProductTerm(a: dy, b: term.b, factor: term.scale)], as: precision.activations, precision: precision)
    }

    /// `factor · aᵀ b` for `a [T, m]` and `b [T, n]`: the gradient of a weight `[m, n]`.
    fileprivate func sumOverTokens(_ a: Tensor, _ b: Tensor, factor: Float = 1) -> Tensor {
        product([ProductTerm(a: a, b: b, factor: factor, transposesA: true)], precision: precision)
    }
}

extension Tensor {
    /// The sum over the rows of a matrix, in f32.
    var sumOfRows: Tensor {
        let sum = Tensor.zeros([columns], device: device)
        device.kernels.sum_rows(sum.floats, matrix, Int64(rows), Int64(columns))
        return sum
    }
}

extension Sequence where Element == Tensor {
    /// The tape that any of them is on.
    fileprivate var firstTape: Tape? { lazy.compactMap { $0.position?.tape }.first }
}
