import Layers
import Tensors

/// The keys and values of every token read so far, for several sequences that grow side by side.
///
/// Each sequence's cache is one key segment of its next rows, so a decoding step is a forward pass like any other.
public final class KVCache: KeyValueStore {
    private struct Entry {
        /// One pair a layer, `[capacity, columns]`.
        var pairs: [OutsideKeys]
        var count = 0
        var pending = 0
        var capacity: Int
    }

    private var entries: [Entry]
    private let columns: Int

    /// An empty cache for `sequences` sequences.
    ///
    /// - Parameters:
    ///   - configuration: of the model that will fill it.
    ///   - sequences: how many grow side by side.
    ///   - capacity: tokens to make room for at first; a cache grows by doubling.
    public init(_ configuration: DecoderConfiguration, sequences: Int, capacity: Int = 256) {
        let columns = configuration.keyValueHeads * configuration.headDimension
        self.columns = columns
        entries = (0..<sequences).map { _ in
            Entry(
                pairs: (0..<configuration.layers).map { _ in
                    OutsideKeys(keys: .zeros([capacity, columns]), values: .zeros([capacity, columns]))
                }, capacity: capacity)
        }
    }

    /// The number of sequences.
    public var sequences: Int { entries.count }

    /// The tokens held of each sequence.
    public var counts: [Int] { entries.map(\.count) }

    /// The layout of a batch that gives each sequence so many tokens more. Run one forward pass with it, then ``advance()``.
    public func layout(appending counts: [Int]) -> SequenceLayout {
        precondition(counts.count == entries.count, "\(counts.count) counts for \(entries.count) sequences")
        for (index, count) in counts.enumerated() {
            entries[index].pending = count
            reserve(index, entries[index].count + count)
        }
        return SequenceLayout(
            entries.enumerated().map { index, entry in
                .init(
                    count: entry.pending, firstPosition: entry.count,
                    segments: entry.count == 0 ? [] : [.init(start: 0, count: entry.count, outside: index)])
            })
    }

    /// What each sequence has read in a layer.
    public func outside(layer: Int) -> [OutsideKeys] {
        entries.map {
            OutsideKeys(
                keys: $0.pairs[layer].keys[rows: 0..<$0.count], values: $0.pairs[layer].values[rows: 0..<$0.count])
        }
    }

    /// Takes the new rows of a layer.
    public func store(layer: Int, keys: Tensor, values: Tensor) {
        var start = 0
        for entry in entries {
            let rows = start..<start + entry.pending
            entry.pairs[layer].keys.writeRows(keys[rows: rows], at: entry.count)
            entry.pairs[layer].values.writeRows(values[rows: rows], at: entry.count)
            start = rows.upperBound
        }
    }

    /// Counts the rows of the pass just run as read.
    public func advance() {
        for index in entries.indices {
            entries[index].count += entries[index].pending
            entries[index].pending = 0
        }
    }

    /// Lets sequences go that have ended; the others move up.
    public func keep(_ indices: [Int]) { entries = indices.map { entries[$0] } }

    private func reserve(_ index: Int, _ count: Int) {
        let entry = entries[index]
        guard count > entry.capacity else { return }
        let capacity = max(count, 2 * entry.capacity)
        func grown(_ tensor: Tensor) -> Tensor {
            let larger = Tensor.zeros([capacity, columns])
            larger.writeRows(tensor[rows: 0..<entry.count], at: 0)
            return larger
        }
        entries[index].pairs = entry.pairs.map { OutsideKeys(keys: grown($0.keys), values: grown($0.values)) }
        entries[index].capacity = capacity
    }
}
