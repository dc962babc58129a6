import CKernels

extension Tensor {
    /// The sum of the squares of each row of a matrix in any storage type, `[rows]`, off the tape.
    public var squaredRowNorms: Tensor {
        let numbers = converted(to: .f32)
        return withExtendedLifetime(numbers) {
            Tensor(
                (0..<rows).map {
                    Float(device.kernels.sum_of_squares(numbers.floats + $0 * columns, Int64(columns)))
                }, shape: [rows], device: device)
        }
    }

    /// The sum of the squares of each column of a matrix in any storage type, `[columns]`, off the tape.
    public var squaredColumnNorms: Tensor {
        let numbers = detached.converted(to: .f32)
        return numbers.sumOfProducts(with: numbers)
    }

    /// Whether this is the same memory, and not only the same numbers.
    public func isSameMemory(as other: Tensor) -> Bool { storage === other.storage && offset == other.offset }
}

/// The norm of each row of `W + s B A`, `[out]`, off the tape, without the sum ever being formed.
///
/// `‖W_j + s (BA)_j‖² = ‖W_j‖² + 2s B_j · (A Wᵀ)_j + s² B_j · (A Aᵀ Bᵀ)_j`: one thin product with W.
///
/// - Parameters:
///   - weight: W `[out, in]`, in any storage type.
///   - isTransposed: whether it is kept as Wᵀ `[in, out]`, as a table of tokens is.
///   - squares: its ``Tensor/squaredRowNorms``; of Wᵀ its ``Tensor/squaredColumnNorms``.
///   - term: A, B and s.
/// - Returns: the norms in f32.
public func rowNorms(
    of weight: Tensor, isTransposed: Bool = false, squares: Tensor, plus term: LowRankTerm
) -> Tensor {
    let (rank, s) = (term.a.rows, term.scale)
    let gram = product([ProductTerm(a: term.a, b: term.a, transposesB: true)])
    let inner = product([
        ProductTerm(a: term.a, b: weight, factor: 2 * s, transposesB: !isTransposed),
        ProductTerm(a: gram, b: term.b, factor: s * s, transposesB: true),
    ])
    let identity = Tensor(
        (0..<rank * rank).map { $0 % (rank + 1) == 0 ? 1 : 0 }, shape: [rank, rank], device: weight.device)
    let transposed = product([ProductTerm(a: identity, b: term.b, transposesB: true)])
    let sums = squares + inner.sumOfProducts(with: transposed)
    return Tensor(sums.values.map { max(0, $0).squareRoot() }, shape: sums.shape, device: weight.device)
}
