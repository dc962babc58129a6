/// One sequence to train or score: a row of the dataset, or a piece of a row that was split.
public struct Example: Sendable, Hashable {
    /// The token ids, at least two.
    public var tokens: [Int32]
    /// `isTarget[i]`: token i is predicted (from those before it) and counts in the loss. `isTarget[0]` is never true.
    public var isTarget: [Bool]
    /// The row's number in the dataset, from 0: part of the dropout key, and named in reports.
    public var row: Int
    /// The position of `tokens[0]` in its row: 0 unless the row was split or scored in windows.
    public var start: Int

    /// Makes an example.
    public init(tokens: [Int32], isTarget: [Bool], row: Int, start: Int = 0) {
        precondition(tokens.count == isTarget.count, "\(tokens.count) tokens, \(isTarget.count) targets")
        precondition(isTarget.first != true, "the first token cannot be predicted")
        self.tokens = tokens
        self.isTarget = isTarget
        self.row = row
        self.start = start
    }

    /// How many tokens count in the loss.
    public var targetCount: Int { isTarget.reduce(0) { $0 + ($1 ? 1 : 0) } }
}

/// One micro-batch.
public struct Batch: Sendable, Hashable {
    /// Its sequences, none of which sees another.
    public var examples: [Example]

    /// Makes a batch.
    public init(examples: [Example]) { self.examples = examples }

    /// All its tokens.
    public var tokenCount: Int { examples.reduce(0) { $0 + $1.tokens.count } }
    /// Those that count in the loss.
    public var targetCount: Int { examples.reduce(0) { $0 + $1.targetCount } }
}
