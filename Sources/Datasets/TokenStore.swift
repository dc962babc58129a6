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
    /// What the examples of preference rows have besides.
    private(set) var preferences = Preferences()
    /// What became of the source's rows.
    var statistics = DatasetStatistics()

    /// Answers and judgements; all empty where no example has any.
    struct Preferences: Sendable {
        /// Where in `answers` each example's begin, and the end of the last.
        var answerBounds: [Int] = []
        /// Where in its example each answer begins.
        var answers: [Int] = []
        /// 1 desirable, 0 not, -1 without a label.
        var labels: [Int8] = []
        /// NaN where a row has none.
        var margins: [Float] = []

        var isEmpty: Bool { answerBounds.isEmpty }

        /// Whether these can be what the examples with these bounds have.
        func fit(_ bounds: [Int]) -> Bool {
            if isEmpty { return answers.isEmpty && labels.isEmpty && margins.isEmpty }
            let count = bounds.count - 1
            guard answerBounds.count == count + 1, answerBounds.first == 0, answerBounds.last == answers.count,
                labels.count == count, margins.count == count,
                zip(answerBounds, answerBounds.dropFirst()).allSatisfy({ $0 <= $1 })
            else { return false }
            return (0..<count).allSatisfy { index in
                let own = answers[answerBounds[index]..<answerBounds[index + 1]]
                let length = bounds[index + 1] - bounds[index]
                return zip([0] + own, own + [length]).allSatisfy { $0 <= $1 }
            }
        }

        mutating func append(_ example: Example, at index: Int) {
            guard !isEmpty || !example.answers.isEmpty || example.judgement != Judgement() else { return }
            if isEmpty {
                answerBounds = [Int](repeating: 0, count: index + 1)
                labels = [Int8](repeating: -1, count: index)
                margins = [Float](repeating: .nan, count: index)
            }
            answers += example.answers
            answerBounds.append(answers.count)
            labels.append(example.judgement.label.map { $0 ? 1 : 0 } ?? -1)
            margins.append(example.judgement.margin ?? .nan)
        }

        func answers(of index: Int) -> [Int] {
            isEmpty ? [] : Array(answers[answerBounds[index]..<answerBounds[index + 1]])
        }

        func judgement(of index: Int) -> Judgement {
            guard !isEmpty else { return Judgement() }
            return Judgement(
                label: labels[index] < 0 ? nil : labels[index] == 1,
                margin: margins[index].isNaN ? nil : margins[index])
        }
    }

    /// An empty store.
    init() {}

    /// A store as it was cached; nil where the parts do not belong together.
    init?(
        tokens: [Int32], targetBits: [UInt64], bounds: [Int], rows: [Int], starts: [Int],
        preferences: Preferences, statistics: DatasetStatistics
    ) {
        guard bounds.first == 0, bounds.last == tokens.count, bounds.count == rows.count + 1,
            rows.count == starts.count,
            targetBits.count == (tokens.count + 63) / 64, zip(bounds, bounds.dropFirst()).allSatisfy({ $0 + 2 <= $1 }),
            preferences.fit(bounds)
        else { return nil }
        self.tokens = tokens
        self.targetBits = targetBits
        self.bounds = bounds
        self.rows = rows
        self.starts = starts
        self.preferences = preferences
        self.statistics = statistics
    }

    var count: Int { rows.count }

    func length(_ index: Int) -> Int { bounds[index + 1] - bounds[index] }

    mutating func append(_ example: Example) {
        preferences.append(example, at: count)
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
        let isTarget = range.map { targetBits[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
        return Example(
            tokens: Array(tokens[range]), isTarget: isTarget, row: firstRow + rows[index], start: starts[index],
            answers: preferences.answers(of: index), judgement: preferences.judgement(of: index))
    }
}
