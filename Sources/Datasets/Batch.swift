/// One sequence to train or score: a row of the dataset, or a piece of a row that was split. Or a prompt with its answers, of a row of
/// preferences: then the prompt stands once, and the answers behind it, one after the other.
public struct Example: Sendable, Hashable {
    /// The token ids, at least two: of the sequence, or of the prompt and then of each answer.
    public var tokens: [Int32]
    /// `isTarget[i]`: token i is predicted (from those before it) and counts in the loss. `isTarget[0]` is true only where something that
    /// is no token stands before; see ``TokenizingOptions/predictsFirstToken``.
    public var isTarget: [Bool]
    /// The row's number in the dataset, from 0: part of the dropout key, and named in reports.
    public var row: Int
    /// The position of `tokens[0]` in its row: 0 unless the row was split or scored in windows.
    public var start: Int
    /// Where in `tokens` each answer begins, in rising order: chosen and rejected of a pair, one answer of an unpaired row. All tokens
    /// before the first are the prompt, which every answer continues. Empty for a plain sequence.
    public var answers: [Int]
    /// What a row of preferences says of its answers beside their order.
    public var judgement: Judgement

    /// Makes an example.
    public init(
        tokens: [Int32], isTarget: [Bool], row: Int, start: Int = 0, answers: [Int] = [],
        judgement: Judgement = Judgement()
    ) {
        precondition(tokens.count == isTarget.count, "\(tokens.count) tokens, \(isTarget.count) targets")
        precondition(
            zip([0] + answers, answers + [tokens.count]).allSatisfy { $0 <= $1 },
            "answers at \(answers) of \(tokens.count) tokens")
        self.tokens = tokens
        self.isTarget = isTarget
        self.row = row
        self.start = start
        self.answers = answers
        self.judgement = judgement
    }

    /// How many tokens count in the loss.
    public var targetCount: Int { isTarget.reduce(0) { $0 + ($1 ? 1 : 0) } }

    /// The tokens of an answer, within `tokens`.
    public func range(ofAnswer index: Int) -> Range<Int> {
        answers[index]..<(index + 1 < answers.count ? answers[index + 1] : tokens.count)
    }

    /// An answer with its prompt as a sequence of its own.
    public func sequence(ofAnswer index: Int) -> Example {
        let (prompt, answer) = (0..<(answers.first ?? 0), range(ofAnswer: index))
        return Example(
            tokens: Array(tokens[prompt] + tokens[answer]), isTarget: Array(isTarget[prompt] + isTarget[answer]),
            row: row)
    }
}

/// What a row of preferences says of its answers beside their order.
public struct Judgement: Sendable, Hashable {
    /// Whether the only answer of an unpaired row is desirable; nil where there is no label.
    public var label: Bool?
    /// By how much the chosen answer of a pair is better; nil where the row does not say.
    public var margin: Float?

    /// Makes a judgement.
    public init(label: Bool? = nil, margin: Float? = nil) {
        self.label = label
        self.margin = margin
    }
}

/// One micro-batch.
public struct Batch: Sendable, Hashable {
    /// Its sequences and prompts with answers, none of which sees another.
    public var examples: [Example]

    /// Makes a batch.
    public init(examples: [Example]) { self.examples = examples }

    /// All its tokens.
    public var tokenCount: Int { examples.reduce(0) { $0 + $1.tokens.count } }
    /// Those that count in the loss.
    public var targetCount: Int { examples.reduce(0) { $0 + $1.targetCount } }
}
