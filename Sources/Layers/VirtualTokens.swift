import Tensors

/// An adapter of a whole decoder: learned tokens, of no vocabulary, that stand before every sequence.
public protocol VirtualTokenAdapter: Adapter {
    /// How many there are.
    var count: Int { get }
    /// What they are in a context.
    func tokens(_ context: ForwardContext) -> VirtualTokens
}

/// Learned tokens, at the one or the other end of what a layer makes of a token.
public enum VirtualTokens {
    /// `[count, hiddenSize]` in place of embeddings: the layers run over them as over any token (prompt tuning).
    case embeddings(Tensor)
    /// For each layer keys and values `[count, kvHeads · headDimension]`, read as they are, without rotation (prefix tuning).
    case keysAndValues([OutsideKeys])
}

/// A stack of decoder blocks, as a method that adapts it whole sees it.
public protocol DecoderStack: AdaptableModule where Kind == any VirtualTokenAdapter {
    /// The table of the vocabulary.
    var embedding: Embedding { get }
    /// The blocks, in order.
    var layers: [DecoderLayer] { get }
}

/// What stands before each sequence of one pass: first keys and values from outside, then rows that are computed once and read by all.
public struct VirtualPrefix {
    /// The outside keys that all sequences read, by adapter and layer.
    private let keys: [[OutsideKeys]]
    /// The rows that the layers run over first, of each adapter.
    private let rows: [Tensor]

    /// What a stack's active adapters put there.
    public init(of stack: some DecoderStack, _ context: ForwardContext) {
        var (keys, rows): ([[OutsideKeys]], [Tensor]) = ([], [])
        for adapter in stack.slot.active(context) {
            switch adapter.tokens(context) {
            case .embeddings(let embeddings): rows.append(embeddings)
            case .keysAndValues(let pairs): keys.append(pairs)
            }
        }
        (self.keys, self.rows) = (keys, rows)
    }

    /// Whether nothing stands there.
    public var isEmpty: Bool { keys.isEmpty && rows.isEmpty }
    /// How many rows are computed.
    public var rowCount: Int { rows.reduce(0) { $0 + $1.rows } }
    /// All rows that are computed, `[rowCount, hiddenSize]`; nil where there are none.
    public var embeddings: Tensor? { rows.isEmpty ? nil : stackedRows(rows) }
    /// The keys and values of each adapter in a layer.
    public func keys(layer: Int) -> [OutsideKeys] { keys.map { $0[layer] } }
    /// The numbers of keys and values, by adapter.
    public var keyCounts: [Int] { keys.map { $0.first?.keys.rows ?? 0 } }
}

extension SequenceLayout {
    /// The layout with virtual tokens before each sequence, whose positions move on by their number.
    func preceded(by prefix: VirtualPrefix) -> SequenceLayout {
        let outside = prefix.keyCounts.enumerated().map {
            AttentionLayout.Segment(start: 0, count: $1, outside: $0)
        }
        let (keys, rows) = (prefix.keyCounts.reduce(0, +), prefix.rowCount)
        let virtual = rows > 0 ? [Sequence(count: rows, firstPosition: keys, row: -1, segments: outside)] : []
        let before = rows > 0 ? outside + [.init(start: 0, count: rows)] : outside
        return SequenceLayout(
            virtual
                + sequences.map { sequence in
                    var moved = sequence
                    moved.firstPosition += keys + rows
                    moved.segments =
                        before
                        + sequence.segments.map { segment in
                            precondition(segment.outside == nil, "virtual tokens before keys from outside")
                            return .init(start: segment.start + rows, count: segment.count)
                        }
                    return moved
                })
    }
}
