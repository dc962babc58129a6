import CKernels

/// ``attention(q:k:v:layout:outside:headDimension:scale:)`` for a step of decoding: each row is a sequence of its own.
///
/// Reads keys and values once for all query heads that share them. Off the tape.
///
/// - Parameters:
///   - q: `[T, heads · headDimension]`.
///   - k: `[T, kvHeads · headDimension]`, rotated like q: the rows' own keys, which they read last.
///   - v: the shape of k.
///   - layout: which rows read which keys; of single rows.
///   - outside: the keys that segments name by index, f32 or bf16.
///   - headDimension: channels a head.
///   - scale: multiplies the scores before the softmax.
/// - Returns: `[T, heads · headDimension]`.
public func decodingAttention(
    q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, outside: [OutsideKeys] = [], headDimension: Int,
    scale: Float
) -> Tensor {
    precondition(
        k.shape == v.shape && q.rows == k.rows && q.columns % k.columns == 0 && k.columns % headDimension == 0,
        "attention over q \(q.shape), k \(k.shape), v \(v.shape) in heads of \(headDimension)")
    precondition(
        layout.hasSingleRows && layout.sequences.count == q.rows,
        "\(layout.sequences.count) sequences, not of one row each, for \(q.rows) rows")
    let (T, D) = (Int64(q.rows), Int64(headDimension))
    let out = Tensor(uninitialized: q.shape, device: q.device)
    layout.withLayout(outside: outside.map { $0.pointers() }) {
        q.device.kernels.attention_decode(
            out.floats, q.floats, k.floats, v.floats, $0, T, Int64(q.columns) / D, Int64(k.columns) / D, D, scale)
    }
    return out
}
