import Layers
import Tensors

/// Keys and values of a run of tokens in every layer. Several sequences may read one, as the samples of a prompt do.
public final class KeyValueSegment {
    /// The tokens held.
    public private(set) var count = 0
    /// The tokens there is room for.
    public let capacity: Int
    /// Whether no token more has room.
    public var isFull: Bool { count >= capacity }
    /// One pair a layer, `[capacity, columns]`.
    fileprivate let pairs: [OutsideKeys]

    /// An empty segment.
    ///
    /// - Parameters:
    ///   - configuration: of the model that will fill it.
    ///   - capacity: tokens at most.
    ///   - dtype: how keys and values are stored, f32 or bf16.
    public init(_ configuration: DecoderConfiguration, capacity: Int, dtype: DType) {
        self.capacity = capacity
        let columns = configuration.keyValueHeads * configuration.headDimension
        // One block for all layers. It is read only where it has been written.
        let all = Tensor(uninitialized: [2 * configuration.layers * capacity, columns], dtype: dtype)
        pairs = (0..<configuration.layers).map { layer in
            let (keys, values) = (2 * layer * capacity, (2 * layer + 1) * capacity)
            return OutsideKeys(
                keys: all[rows: keys..<keys + capacity], values: all[rows: values..<values + capacity])
        }
    }

    func write(_ rows: Range<Int>, keys: Tensor, values: Tensor, layer: Int) {
        pairs[layer].keys.writeRows(rows, of: keys, at: count)
        pairs[layer].values.writeRows(rows, of: values, at: count)
    }

    func advance(_ rows: Int) { count += rows }
}

/// What the sequences of one batch have read, for passes that append to it.
///
/// A sequence reads whole segments in order and appends to the last of them. Each segment is a key segment of the batch's layout, so a
/// pass with a cache is a forward pass like any other.
public final class KVCache: KeyValueStore {
    private let sequences: [[KeyValueSegment]]
    private let segments: [KeyValueSegment]
    /// For each sequence, which of `segments` it reads.
    private let indices: [[Int]]
    /// By layer, the keys of all segments.
    private let pairs: [[OutsideKeys]]
    private var pending: [Int] = []

    /// A cache over segments.
    ///
    /// - Parameter sequences: the segments that each sequence reads, the one that it alone appends to last.
    public init(_ sequences: [[KeyValueSegment]]) {
        self.sequences = sequences
        var (segments, known): ([KeyValueSegment], [ObjectIdentifier: Int]) = ([], [:])
        indices = sequences.map { sequence in
            sequence.map { segment in
                let index = known[ObjectIdentifier(segment)] ?? segments.count
                if index == segments.count { segments.append(segment) }
                known[ObjectIdentifier(segment)] = index
                return index
            }
        }
        self.segments = segments
        pairs = (segments.first?.pairs.indices ?? 0..<0).map { layer in segments.map { $0.pairs[layer] } }
    }

    /// The layout of a batch that gives each sequence so many tokens more. Run one forward pass with it, then ``advance()``.
    public func layout(appending counts: [Int]) -> SequenceLayout {
        precondition(counts.count == sequences.count, "\(counts.count) counts for \(sequences.count) sequences")
        pending = counts
        return SequenceLayout(
            zip(indices, counts).map { indices, count in
                let read = indices.map { AttentionLayout.Segment(start: 0, count: segments[$0].count, outside: $0) }
                return .init(
                    count: count, firstPosition: read.reduce(0) { $0 + $1.count },
                    segments: read.filter { $0.count > 0 })
            })
    }

    /// What each segment holds in a layer; nothing where no sequence has read anything yet.
    public func outside(layer: Int) -> [OutsideKeys] { segments.contains { $0.count > 0 } ? pairs[layer] : [] }

    /// Takes the new rows of a layer.
    public func store(layer: Int, keys: Tensor, values: Tensor) {
        var start = 0
        for (sequence, count) in zip(sequences, pending) {
            sequence.last?.write(start..<start + count, keys: keys, values: values, layer: layer)
            start += count
        }
    }

    /// Counts the rows of the pass just run as read.
    public func advance() {
        for (sequence, count) in zip(sequences, pending) { sequence.last?.advance(count) }
        pending = []
    }
}
