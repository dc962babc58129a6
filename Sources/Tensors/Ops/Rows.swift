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

/// Matrices of as many columns one above the other, in f32. Gradient: to each its rows.
public func stackedRows(_ parts: [Tensor]) -> Tensor {
    precondition(
        Set(parts.map(\.columns)).count == 1, "rows of shapes \(parts.map(\.shape)) cannot be stacked")
    let out = Tensor(uninitialized: [parts.reduce(0) { $0 + $1.rows }, parts[0].columns], device: parts[0].device)
    var starts = [0]
    for part in parts {
        out.writeRows(0..<part.rows, of: part, at: starts[starts.count - 1])
        starts.append(starts[starts.count - 1] + part.rows)
    }
    return out.recorded(from: parts) { dout in zip(starts, starts.dropFirst()).map { dout[rows: $0..<$1] } }
}

extension Tensor {
    /// A matrix cut into blocks of so many columns each, in f32. Gradient: theirs, side by side.
    public func columnBlocks(_ width: Int) -> [Tensor] {
        precondition(width > 0 && columns % width == 0, "blocks of \(width) columns of shape \(shape)")
        let (rows, count) = (self.rows, columns / width)
        let blocks = (0..<count).map { _ in Tensor(uninitialized: [rows, width], device: device) }
        // A row is as many rows of one block's width.
        let narrow = converted(to: .f32).reshaped([rows * count, width])
        for row in 0..<rows {
            for (index, block) in blocks.enumerated() {
                block.writeRows(row * count + index..<row * count + index + 1, of: narrow, at: row)
            }
        }
        guard let tape = position?.tape else { return blocks }
        return tape.record(blocks, inputs: [self]) { gradients in
            let whole = Tensor.zeros([rows * count, width], device: narrow.device)
            for (index, gradient) in gradients.enumerated() {
                guard let gradient else { continue }
                for row in 0..<rows { whole.writeRows(row..<row + 1, of: gradient, at: row * count + index) }
            }
            return [whole.reshaped([rows, count * width])]
        }
    }
}
