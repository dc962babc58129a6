import CKernels

/// One summand of a product, `factor · op(a) op(b)`, where op is the identity or the transpose.
struct ProductTerm {
    var a: Tensor
    var b: Tensor
    var factor: Float = 1
    var transposesA = false
    var transposesB = false

    var rows: Int { transposesA ? a.columns : a.rows }
    var columns: Int { transposesB ? b.rows : b.columns }
    var depth: Int { transposesA ? a.rows : a.columns }
}

/// `addend + Σ factor · op(a) op(b)`, off the tape, rounded once to `type`.
func product(
    _ terms: [ProductTerm], addend: Tensor? = nil, as type: DType = .f32, precision: Precision = .f32
) -> Tensor {
    precondition(!terms.isEmpty, "a product without terms has no shape")
    let out = Tensor(uninitialized: [terms[0].rows, terms[0].columns], dtype: type, device: terms[0].a.device)
    write(terms, into: out, addend: addend, precision: precision)
    return out
}

/// The same into memory that is there; `out` may be the addend.
func write(_ terms: [ProductTerm], into out: Tensor, addend: Tensor? = nil, precision: Precision = .f32) {
    for term in terms {
        precondition(
            term.rows == out.rows && term.columns == out.columns
                && term.depth == (term.transposesB ? term.b.columns : term.b.rows),
            "shapes \(term.a.shape) and \(term.b.shape) do not multiply to \(out.shape)")
    }
    precondition(
        addend.map { $0.shape == out.shape } ?? true, "an addend of \(addend?.shape ?? []) to shape \(out.shape)")
    let list = terms.map {
        product_term(
            a: $0.a.matrix, b: $0.b.matrix, k: Int64($0.depth), factor: $0.factor, a_transposed: $0.transposesA,
            b_transposed: $0.transposesB)
    }
    out.device.kernels.matmul(
        out.array, addend?.floats, list, Int32(list.count), Int64(out.rows), Int64(out.columns), precision == .bf16)
}

/// `a b` for matrices `a [m, k]` and `b [k, n]`, off the tape: merging adapters into weights.
public func matrixProduct(_ a: Tensor, _ b: Tensor) -> Tensor { product([ProductTerm(a: a, b: b)]) }
