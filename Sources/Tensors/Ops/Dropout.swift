import CKernels

/// Which elements dropout keeps: a pure function of the key and of each row's own identity, so that a row drops the same elements
/// whatever batch it is in, and backward and recomputation need no saved mask.
public struct DropoutMask {
    /// The probability that an element is dropped, in [0, 1).
    public var probability: Float
    /// Seed, module and optimizer step.
    public var key: RandomKey
    /// For each row of the batch: the dataset row it comes from.
    public var rowKeys: [Int64]
    /// For each row of the batch: its position in its sequence.
    public var positions: [Int32]

    /// Makes a mask; `rowKeys` and `positions` have one element a row of the batch.
    public init(probability: Float, key: RandomKey, rowKeys: [Int64], positions: [Int32]) {
        precondition(probability >= 0 && probability < 1, "a dropout probability of \(probability)")
        precondition(rowKeys.count == positions.count, "\(rowKeys.count) row keys for \(positions.count) positions")
        self.probability = probability
        self.key = key
        self.rowKeys = rowKeys
        self.positions = positions
    }

    /// The mask of some rows of the batch.
    public func selecting(rows: [Int32]) -> DropoutMask {
        DropoutMask(
            probability: probability, key: key, rowKeys: rows.map { rowKeys[Int($0)] },
            positions: rows.map { positions[Int($0)] })
    }

    /// `x` with dropped elements zero and kept ones divided by the probability to keep. Linear, so its gradient is itself.
    func callAsFunction(_ x: Tensor) -> Tensor {
        precondition(x.rows == rowKeys.count, "a dropout mask for \(rowKeys.count) rows on shape \(x.shape)")
        let out = Tensor(uninitialized: x.shape, dtype: x.dtype, device: x.device)
        x.device.kernels.dropout(
            out.array, x.matrix, rowKeys, positions, probability, key.value, Int64(x.rows), Int64(x.columns))
        return out
    }
}
