import CKernels

extension Tensor {
    /// The first index of the largest number of a row; NaN is passed over. Nil where there is nothing else.
    public func largestIndex(row: Int) -> Int? {
        let index = Int(device.kernels.largest(self[rows: row..<row + 1].floats, Int64(columns)))
        return index < 0 ? nil : index
    }

    /// `exp((x − maximum) · factor)` over a row: the probabilities of a softmax before they are divided by their sum.
    ///
    /// - Parameters:
    ///   - row: the row.
    ///   - maximum: its largest number.
    ///   - factor: one divided by the temperature.
    /// - Returns: the exponentials, and their sums over blocks of ``exponentialBlock``.
    public func exponentials(row: Int, maximum: Float, factor: Float) -> (values: Tensor, sums: [Double]) {
        let out = Tensor(uninitialized: [columns], device: device)
        let blocks = (columns + Self.exponentialBlock - 1) / Self.exponentialBlock
        let sums = [Double](unsafeUninitializedCapacity: blocks) { sums, count in
            device.kernels.exponentials(
                out.floats, sums.baseAddress, self[rows: row..<row + 1].floats, maximum, factor, Int64(columns))
            count = blocks
        }
        return (out, sums)
    }

    /// How many numbers a sum of ``exponentials(row:maximum:factor:)`` is over.
    public static var exponentialBlock: Int { Int(GRAFT_SUM_BLOCK) }
}
