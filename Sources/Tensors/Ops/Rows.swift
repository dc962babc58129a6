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

extension Tensor {
    /// This matrix `[T, C]` with some rows of another, `[n, C]`, in the place of its own: both in f32.
    ///
    /// - Parameters:
    ///   - positions: the rows that are replaced, each once.
    ///   - source: where the new rows come from.
    ///   - rows: the row of `source` for each position.
    /// - Returns: `[T, C]`. Gradient: to `source` that of the replaced rows, added in their order; to this matrix that of the rest.
    public func replacingRows(_ positions: [Int32], with source: Tensor, rows: [Int32]) -> Tensor {
        precondition(
            columns == source.columns && positions.count == rows.count,
            "\(positions.count) rows of shape \(shape) from \(rows.count) of shape \(source.shape)")
        let out = copied()
        for (position, row) in zip(positions, rows) {
            out.writeRows(Int(row)..<Int(row) + 1, of: source, at: Int(position))
        }
        let (sourceShape, wantsOwn) = (source.shape, isTracked)
        return out.recorded(from: [self, source]) { dout in
            // In the forward pass this was: out[position] = source[row], all other rows as they were.
            let dsource = Tensor.zeros(sourceShape, device: dout.device)
            for (position, row) in zip(positions, rows) {
                dsource[rows: Int(row)..<Int(row) + 1].addInPlace(dout[rows: Int(position)..<Int(position) + 1])
            }
            guard wantsOwn else { return [nil, dsource] }
            let (dself, nothing) = (dout.copied(), Tensor.zeros([1, dout.columns], device: dout.device))
            for position in positions { dself.writeRows(0..<1, of: nothing, at: Int(position)) }
            return [dself, dsource]
        }
    }
}
