/// The row order of rotary projections in GGUF files of the llama architecture.
///
/// Hugging Face keeps a head's two rotary halves one after the other: row s·D/2 + j of a head of D rows is half s of pair j. llama.cpp's
/// converter interleaves them, row 2j + s, in `attn_q` and `attn_k` (weights and biases) of that architecture.
///
/// `order[i]` is the row in the GGUF file that Hugging Face has as row i.
package func huggingFaceRowOrder(rows: Int, heads: Int) -> [Int] {
    precondition(heads > 0 && rows.isMultiple(of: 2 * heads), "\(rows) rows of \(heads) heads have no rotary pairs")
    let size = rows / heads
    return (0..<rows).map { row in
        let within = row % size
        return row - within + 2 * (within % (size / 2)) + within / (size / 2)
    }
}

/// Brings the rows of a matrix `[rows, columns]` into Hugging Face's order, in place; see ``huggingFaceRowOrder(rows:heads:)``.
package func unpermuteRotaryRows(_ matrix: UnsafeMutableBufferPointer<Float>, rows: Int, heads: Int) {
    reorderRows(matrix, rows: rows, heads: heads, huggingFaceRowOrder(rows: rows / heads, heads: 1))
}

/// Brings the rows of a matrix `[rows, columns]` from Hugging Face's order into that of GGUF files, in place.
package func permuteRotaryRows(_ matrix: UnsafeMutableBufferPointer<Float>, rows: Int, heads: Int) {
    var order = [Int](repeating: 0, count: rows / heads)
    for (row, source) in huggingFaceRowOrder(rows: rows / heads, heads: 1).enumerated() { order[source] = row }
    reorderRows(matrix, rows: rows, heads: heads, order)
}

/// In each head, row i becomes what row `order[i]` was.
private func reorderRows(_ matrix: UnsafeMutableBufferPointer<Float>, rows: Int, heads: Int, _ order: [Int]) {
    precondition(rows > 0 && matrix.count.isMultiple(of: rows), "\(matrix.count) values are no matrix of \(rows) rows")
    let columns = matrix.count / rows
    let size = rows / heads * columns
    let head = UnsafeMutableBufferPointer<Float>.allocate(capacity: size)
    defer { head.deallocate() }
    guard let scratch = head.baseAddress, let base = matrix.baseAddress else { return }
    for start in stride(from: 0, to: matrix.count, by: max(size, 1)) {
        scratch.update(from: base + start, count: size)
        for (row, source) in order.enumerated() {
            (base + start + row * columns).update(from: scratch + source * columns, count: columns)
        }
    }
}
