import CKernels

/// Which rows of a batch read which keys: sequences, each with segments of keys that it reads in full before its own causal range.
public struct AttentionLayout {
    /// Rows `[start, start + count)`, and the segments each of them reads.
    public struct Sequence: Equatable, Sendable {
        /// The first row in the batch.
        public var start: Int
        /// The number of rows.
        public var count: Int
        /// Keys read before the own ones, in order.
        public var segments: [Segment]

        /// Makes a sequence.
        public init(start: Int, count: Int, segments: [Segment] = []) {
            self.start = start
            self.count = count
            self.segments = segments
        }
    }

    /// A run of keys.
    public struct Segment: Equatable, Sendable {
        /// The first key: a row of the batch, or of the outside keys.
        public var start: Int
        /// The number of keys.
        public var count: Int
        /// Which outside keys these are; nil for rows of this batch.
        public var outside: Int?

        /// Makes a segment.
        public init(start: Int, count: Int, outside: Int? = nil) {
            self.start = start
            self.count = count
            self.outside = outside
        }
    }

    /// The sequences, of disjoint rows.
    public let sequences: [Sequence]
    /// Whether each row is a sequence of its own, as in a step of decoding.
    public let hasSingleRows: Bool
    private let cSequences: [attention_sequence]
    private let cSegments: [key_segment]

    /// Makes a layout for a batch of `rows` rows; sequences must lie inside it and be disjoint, in rising order.
    public init(_ sequences: [Sequence], rows: Int) {
        var end = 0
        for sequence in sequences {
            precondition(sequence.start >= end && sequence.count >= 0, "sequence \(sequence) starts before row \(end)")
            end = sequence.start + sequence.count
            for segment in sequence.segments where segment.outside == nil {
                precondition(
                    segment.start >= 0 && segment.start + segment.count <= sequence.start,
                    "segment \(segment) does not lie before its sequence at \(sequence.start)")
            }
        }
        precondition(end <= rows, "sequences end at row \(end) of \(rows)")
        self.sequences = sequences
        hasSingleRows = sequences.count == rows && sequences.allSatisfy { $0.count == 1 }
        var segments: [key_segment] = []
        cSequences = sequences.map { sequence in
            let first = segments.count
            segments += sequence.segments.map {
                key_segment(start: Int64($0.start), count: Int64($0.count), outside: Int32($0.outside ?? -1))
            }
            return attention_sequence(
                start: Int64(sequence.start), count: Int64(sequence.count), first_segment: Int32(first),
                segment_count: Int32(sequence.segments.count))
        }
        cSegments = segments
    }

    func withLayout<Result>(outside: [outside_keys], _ body: (UnsafePointer<attention_layout>) -> Result) -> Result {
        cSequences.withUnsafeBufferPointer { sequences in
            cSegments.withUnsafeBufferPointer { segments in
                outside.withUnsafeBufferPointer { outside in
                    var layout = attention_layout(
                        sequences: sequences.baseAddress, segments: segments.baseAddress, outside: outside.baseAddress,
                        sequence_count: Int32(sequences.count), segment_count: Int32(segments.count),
                        outside_count: Int32(outside.count))
                    return body(&layout)
                }
            }
        }
    }
}

/// Keys and values that are no rows of the batch: a learned prefix (on the tape) or a cache. `[count, kvHeads · headDimension]`.
public struct OutsideKeys {
    /// The keys, as attention reads them (rotated already, where they are); f32, or bf16 in a cache.
    public var keys: Tensor
    /// The values.
    public var values: Tensor

    /// Makes a pair of one shape.
    public init(keys: Tensor, values: Tensor) {
        precondition(
            keys.shape == values.shape && keys.dtype == values.dtype,
            "\(keys.dtype) keys of shape \(keys.shape), \(values.dtype) values of shape \(values.shape)")
        self.keys = keys
        self.values = values
    }

    func pointers(gradients: (keys: Tensor, values: Tensor)? = nil) -> outside_keys {
        outside_keys(
            keys: keys.raw, values: values.raw, keys_gradient: gradients?.keys.floats,
            values_gradient: gradients?.values.floats, count: Int64(keys.rows), dtype: keys.dtype.code)
    }

    /// The same numbers in f32, which training and long prompts read.
    var widened: OutsideKeys { OutsideKeys(keys: keys.converted(to: .f32), values: values.converted(to: .f32)) }
}

/// Grouped-query attention over the sequences of a layout: `softmax(scale · q kᵀ) v`, computed in tiles.
///
/// - Parameters:
///   - q: `[T, heads · headDimension]`.
///   - k: `[T, kvHeads · headDimension]`, rotated like q.
///   - v: the shape of k.
///   - layout: which rows read which keys.
///   - outside: the keys that segments name by index.
///   - headDimension: channels a head.
///   - scale: multiplies the scores before the softmax.
/// - Returns: `[T, heads · headDimension]`; rows that no sequence covers are zeros.
public func attention(
    q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, outside: [OutsideKeys] = [], headDimension: Int,
    scale: Float
) -> Tensor {
    precondition(
        k.shape == v.shape && q.rows == k.rows && q.columns % k.columns == 0 && k.columns % headDimension == 0
            && q.dtype == k.dtype && k.dtype == v.dtype,
        "attention over q \(q.shape), k \(k.shape), v \(v.shape) in heads of \(headDimension)")
    let outside = outside.map(\.widened)
    let (T, D) = (Int64(q.rows), Int64(headDimension))
    let (H, K) = (Int64(q.columns) / D, Int64(k.columns) / D)
    let out = Tensor(uninitialized: q.shape, dtype: q.dtype, device: q.device)
    let lse = Tensor(uninitialized: [q.rows, Int(H)], device: q.device)
    layout.withLayout(outside: outside.map { $0.pointers() }) {
        q.device.kernels.attention_forward(out.array, lse.floats, q.matrix, k.matrix, v.matrix, $0, T, H, K, D, scale)
    }
    let (query, key, value, result) = (q.detached, k.detached, v.detached, out)
    return out.recorded(from: [q, k, v] + outside.flatMap { [$0.keys, $0.values] }) { dout in
        func empty(like x: Tensor) -> Tensor { Tensor(uninitialized: x.shape, dtype: x.dtype, device: x.device) }
        let (dq, dk, dv) = (empty(like: query), empty(like: key), empty(like: value))
        let upstream = dout.converted(to: query.dtype)
        let outsideGradients = outside.map { pair in
            pair.keys.isTracked || pair.values.isTracked
                ? (keys: Tensor.zeros(pair.keys.shape), values: Tensor.zeros(pair.values.shape)) : nil
        }
        layout.withLayout(outside: zip(outside, outsideGradients).map { $0.pointers(gradients: $1) }) {
            query.device.kernels.attention_backward(
                dq.array, dk.array, dv.array, upstream.matrix, result.matrix, lse.floats, query.matrix, key.matrix,
                value.matrix, $0, T, H, K, D, scale)
        }
        return [dq, dk, dv] + outsideGradients.flatMap { [$0?.keys, $0?.values] }
    }
}
