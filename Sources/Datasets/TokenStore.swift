/// The examples of one source, compactly: 4 bytes and a bit a token, and a few words an example.
struct TokenStore: Sendable {
    /// All tokens, one example after the other.
    private(set) var tokens: [Int32] = []
    /// One bit a token: whether it is trained.
    private(set) var targetBits: [UInt64] = []
    /// Where each example starts in `tokens`, and the end of the last.
    private(set) var bounds: [Int] = [0]
    /// The row each example comes from, counted from the source's first.
    private(set) var rows: [Int] = []
    /// Where in its row each example starts.
    private(set) var starts: [Int] = []
    /// What became of the source's rows.
    var statistics = DatasetStatistics()

    /// An empty store.
    init() {}

    /// A store as it was cached; nil where the parts do not belong together.
    init?(
        tokens: [Int32], targetBits: [UInt64], bounds: [Int], rows: [Int], starts: [Int], statistics: DatasetStatistics
    ) {
        guard bounds.first == 0, bounds.last == tokens.count, bounds.count == rows.count + 1,
            rows.count == starts.count,
            targetBits.count == (tokens.count + 63) / 64, zip(bounds, bounds.dropFirst()).allSatisfy({ $0 + 2 <= $1 })
        else { return nil }
        self.tokens = tokens
        self.targetBits = targetBits
        self.bounds = bounds
        self.rows = rows
        self.starts = starts
        self.statistics = statistics
    }

    var count: Int { rows.count }

    func length(_ index: Int) -> Int { bounds[index + 1] - bounds[index] }

    mutating func append(_ example: Example) {
        for (token, isTarget) in zip(example.tokens, example.isTarget) {
            if tokens.count % 64 == 0 { targetBits.append(0) }
            if isTarget { targetBits[tokens.count / 64] |= 1 << UInt64(tokens.count % 64) }
            tokens.append(token)
        }
        bounds.append(tokens.count)
        rows.append(example.row)
        starts.append(example.start)
    }

    /// The example, with its row counted from `firstRow`.
    func example(_ index: Int, firstRow: Int) -> Example {
        let range = bounds[index]..<bounds[index + 1]
        var isTarget = range.map { targetBits[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
        isTarget[0] = false
        return Example(
            tokens: Array(tokens[range]), isTarget: isTarget, row: firstRow + rows[index], start: starts[index])
    }
}
