import CKernels

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
/// One value, so that a single op computes it (and its gradient) whatever adapters are active: ``callAsFunction(_:)`` for a layer, and
/// the chunked head of ``headCrossEntropy(_:head:targets:coefficients:)``.
public struct LinearOperands {
    /// `[out, in]`, f32 or bf16.
    public var weight: Tensor
    /// `[out]`, or nil.
    public var bias: Tensor?
    /// Terms in the order they apply.
    public var lowRank: [LowRankTerm]

    /// Collects operands.
    public init(weight: Tensor, bias: Tensor? = nil, lowRank: [LowRankTerm] = []) {
        for term in lowRank {
            precondition(
                term.a.columns == weight.columns && term.b.rows == weight.rows,
                "A of shape \(term.a.shape) and B of shape \(term.b.shape) on a weight of shape \(weight.shape)")
        }
        self.weight = weight
        self.bias = bias
        self.lowRank = lowRank
    }

    /// The same operands for some rows of the batch: dropout goes by row, all else is shared.
    public func selecting(rows: [Int32]) -> LinearOperands {
        var copy = self
        for index in copy.lowRank.indices {
            copy.lowRank[index].dropout = lowRank[index].dropout?.selecting(rows: rows)
        }
        return copy
    }

    /// The tensors that can have a gradient, in the order of ``gradients(_:x:hidden:wantsInput:)``.
    var tensors: [Tensor] { [weight] + (bias.map { [$0] } ?? []) + lowRank.flatMap { [$0.a, $0.b] } }

    var isTracked: Bool { tensors.contains { $0.isTracked } }

    /// `y [T, out]` for `x [T, in]`, recorded on the tape.
    ///
    /// - Parameters:
    ///   - x: the input.
    ///   - isDecoding: whether these are the few rows of a decoding step, which have a kernel of their own.
    /// - Returns: y.
    public func callAsFunction(_ x: Tensor, isDecoding: Bool = false) -> Tensor {
        let (y, hidden) = forward(x, isDecoding: isDecoding)
        let input = x.detached
        let wantsInput = x.isTracked
        let operands = self
        return y.recorded(from: [x] + tensors) { dy in
            operands.gradients(dy, x: input, hidden: hidden, wantsInput: wantsInput)
        }
    }

    /// The product, and each term's `dropout(x) Aᵀ [T, r]` for the backward pass.
    func forward(_ x: Tensor, isDecoding: Bool) -> (y: Tensor, hidden: [Tensor]) {
        precondition(x.columns == weight.columns, "an input of shape \(x.shape) for a weight of shape \(weight.shape)")
        let kernels = x.device.kernels
        let T = Int64(x.rows)
        let y = Tensor(uninitialized: [x.rows, weight.rows], device: x.device)
        func product(_ out: Tensor, _ a: Tensor, _ b: Tensor, factor: Float = 1, accumulates: Bool = false) {
            let (n, k) = (Int64(b.rows), Int64(b.columns))
            if isDecoding {
                kernels.matvec_nt(out.floats, a.floats, b.matrix, T, n, k, factor, accumulates)
            } else {
                kernels.matmul_nt(out.floats, a.floats, b.matrix, T, n, k, factor, accumulates)
            }
        }
        product(y, x, weight)
        if let bias { kernels.add_bias(y.floats, bias.floats, T, Int64(weight.rows)) }
        let hidden = lowRank.map { term -> Tensor in
            let u = Tensor(uninitialized: [x.rows, term.a.rows], device: x.device)
            let dropped = term.dropout.map { $0(x) } ?? x
            product(u, dropped, term.a)
            product(y, u, term.b, factor: term.scale, accumulates: true)
            return u
        }
        return (y, hidden)
    }

    /// The gradients of x and of ``tensors``, given that of y; nil where nothing asks for one.
    ///
    /// In the forward pass this was: y = x Wᵀ + bias + Σ s u Bᵀ with u = dropout(x) Aᵀ.
    /// So we have: dx = dy W + Σ dropout(du A), du = s dy B; dW = dyᵀ x, dB = s dyᵀ u, dA = duᵀ dropout(x).
    func gradients(_ dy: Tensor, x: Tensor, hidden: [Tensor], wantsInput: Bool) -> [Tensor?] {
        let kernels = x.device.kernels
        let (T, out, inner) = (Int64(x.rows), Int64(weight.rows), Int64(weight.columns))
        var dx: Tensor?
        if wantsInput {
            let gradient = Tensor(uninitialized: x.shape, device: x.device)
            kernels.matmul_nn(gradient.floats, dy.floats, weight.matrix, T, inner, out, 1, false)
            dx = gradient
        }
        var gradients: [Tensor?] = [weight.isTracked ? transposedProduct(dy, x) : nil]
        if let bias {
            let gradient = bias.isTracked ? Tensor.zeros(bias.shape, device: x.device) : nil
            if let gradient { kernels.sum_rows(gradient.floats, dy.floats, T, out) }
            gradients.append(gradient)
        }
        for (term, u) in zip(lowRank, hidden) {
            let dropped = term.a.isTracked ? (term.dropout.map { $0(x) } ?? x) : x
            let du = Tensor(uninitialized: u.shape, device: x.device)
            if term.a.isTracked || wantsInput {
                kernels.matmul_nn(du.floats, dy.floats, term.b.matrix, T, Int64(u.columns), out, term.scale, false)
            }
            gradients.append(term.a.isTracked ? transposedProduct(du, dropped) : nil)
            gradients.append(term.b.isTracked ? transposedProduct(dy, u, factor: term.scale) : nil)
            if let dx { addInputGradient(of: term, du, into: dx) }
        }
        return [dx] + gradients
    }

    private func addInputGradient(of term: LowRankTerm, _ du: Tensor, into dx: Tensor) {
        let kernels = dx.device.kernels
        let (T, r, inner) = (Int64(du.rows), Int64(du.columns), Int64(weight.columns))
        guard let dropout = term.dropout else {
            kernels.matmul_nn(dx.floats, du.floats, term.a.matrix, T, inner, r, 1, true)
            return
        }
        let gradient = Tensor(uninitialized: dx.shape, device: dx.device)
        kernels.matmul_nn(gradient.floats, du.floats, term.a.matrix, T, inner, r, 1, false)
        dx.addInPlace(dropout(gradient))
    }
}

/// `factor · aᵀ b` for `a [t, m]` and `b [t, n]`: `[m, n]`, a sum over tokens.
func transposedProduct(_ a: Tensor, _ b: Tensor, factor: Float = 1) -> Tensor {
    precondition(a.rows == b.rows, "a sum over the rows of shapes \(a.shape) and \(b.shape)")
    let out = Tensor(uninitialized: [a.columns, b.columns], device: a.device)
    a.device.kernels.matmul_tn(
        out.floats, a.floats, b.floats, Int64(a.columns), Int64(b.columns), Int64(a.rows), factor, false)
    return out
}

/// `a b` for matrices `a [m, k]` and `b [k, n]`, off the tape: merging adapters into weights.
public func matrixProduct(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.columns == b.rows, "cannot multiply shapes \(a.shape) and \(b.shape)")
    let out = Tensor(uninitialized: [a.rows, b.columns], device: a.device)
    a.device.kernels.matmul_nn(
        out.floats, a.floats, b.matrix, Int64(a.rows), Int64(b.columns), Int64(a.columns), 1, false)
    return out
}
