import Tensors

/// How the flat row of tokens of one batch falls into sequences. There is no padding and no mask.
///
/// Each sequence has its rows, the position of its first token, and the keys that it reads before its own: rows of this batch (a
/// *parent*, which it shares with others) or keys from outside (a cache, a learned prefix).
public struct SequenceLayout {
    /// One sequence.
    public struct Sequence: Equatable, Sendable {
        /// The number of rows.
        public var count: Int
        /// The position of the first row, from which rotary angles and dropout count.
        public var firstPosition: Int
        /// The dataset row (or prompt, or sample) that the tokens come from: dropout's key.
        public var row: Int
        /// Keys read in full before the own causal range, in order.
        public var segments: [AttentionLayout.Segment]

        /// Makes a sequence; without segments it stands alone.
        public init(count: Int, firstPosition: Int = 0, row: Int = 0, segments: [AttentionLayout.Segment] = []) {
            self.count = count
            self.firstPosition = firstPosition
            self.row = row
            self.segments = segments
        }
    }

    /// The sequences, one after the other in the batch.
    public let sequences: [Sequence]
    /// The position of each row in its sequence.
    public let positions: [Int32]
    /// The dataset row of each row.
    public let rowKeys: [Int64]
    /// What the attention kernel reads.
    public let attention: AttentionLayout

    /// Lays sequences one after the other.
    public init(_ sequences: [Sequence]) {
        self.sequences = sequences
        var start = 0
        var positions: [Int32] = []
        var rowKeys: [Int64] = []
        var ranges: [AttentionLayout.Sequence] = []
        for sequence in sequences {
            ranges.append(.init(start: start, count: sequence.count, segments: sequence.segments))
            positions += (0..<sequence.count).map { Int32(sequence.firstPosition + $0) }
            rowKeys += Array(repeating: Int64(sequence.row), count: sequence.count)
            start += sequence.count
        }
        self.positions = positions
        self.rowKeys = rowKeys
        attention = AttentionLayout(ranges, rows: start)
    }

    /// The number of rows.
    public var count: Int { positions.count }
}
