import CKernels

/// Rows of a matrix looked up by number: `out[i] = matrix[rows[i]]`. An embedding, or a selection of tokens.
///
/// - Parameters:
///   - matrix: `[N, C]`, f32 or bf16.
///   - rows: numbers below N.
///   - type: how the result is stored.
/// - Returns: `[rows.count, C]`. Gradient: the rows' gradients added where they came from, in rising order of `i`.
public func gatherRows(_ matrix: Tensor, _ rows: [Int32], as type: DType = .f32) -> Tensor {
    precondition(rows.allSatisfy { $0 >= 0 && $0 < matrix.rows }, "a row outside a matrix of shape \(matrix.shape)")
    let C = Int64(matrix.columns)
    let out = Tensor(uninitialized: [rows.count, matrix.columns], dtype: type, device: matrix.device)
    matrix.device.kernels.gather_rows(out.array, matrix.matrix, rows, Int64(rows.count), C)
    let shape = matrix.shape
    return out.recorded(from: [matrix]) { dout in
        let dmatrix = Tensor.zeros(shape, device: dout.device)
        let upstream = dout.converted(to: .f32)
        dout.device.kernels.scatter_add_rows(
            dmatrix.floats, upstream.floats, rows, Int64(rows.count), C)
        return [dmatrix]
    }
}
