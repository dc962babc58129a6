import Datasets
import Layers
import Tensors

/// Examples as one flat row of tokens: what a model reads, and which of its rows predict a target.
///
/// Answers to one prompt share it: the prompt is a sequence of its own, which each answer's sequence reads in full. An answer's
/// sequence begins with the prompt's last token, in the same position, so that each row predicts one target. Where all prompts begin
/// alike, what they share is a sequence too, which every prompt and answer reads.
struct TokenRows {
    var tokens: [Int32] = []
    var rows: [Int32] = []
    var targets: [Int32] = []
    /// For each target: which example of the batch it belongs to.
    var examples: [Int] = []
    /// For each example: the targets of each of its answers; of a plain sequence, all of them.
    private(set) var answers: [[Range<Int>]] = []
    /// For each example: the targets within its prompt; empty unless asked for.
    private(set) var prompts: [Range<Int>] = []
    let layout: SequenceLayout

    private var sequences: [SequenceLayout.Sequence] = []

    /// Lays examples one after the other. Tokens from a sequence's last target on predict nothing and are left out.
    ///
    /// - Parameters:
    ///   - examples: sequences, and prompts with answers.
    ///   - scoresPrompts: whether the tokens of prompts with answers are targets too, all but the first.
    ///   - sharedPrefix: so many tokens are the same in the prompts of all examples, and not all of any prompt; they are computed once.
    ///   - predictsFirstToken: whether virtual tokens stand before every sequence; the row -1, which is the last of them, then predicts
    ///     the first token of sequences where that is a target.
    init(
        _ examples: [Example], scoresPrompts: Bool = false, sharedPrefix: Int = 0, predictsFirstToken: Bool = false
    ) {
        precondition(sharedPrefix == 0 || !scoresPrompts, "a shared prefix is not scored")
        var rows = Self(layout: SequenceLayout([]))
        if sharedPrefix > 0, let first = examples.first {
            rows.tokens = Array(first.tokens[..<sharedPrefix])
            rows.sequences = [.init(count: sharedPrefix)]
        }
        for (number, example) in examples.enumerated() {
            if example.answers.isEmpty {
                rows.append(example, number, from: predictsFirstToken ? 0 : 1)
            } else {
                rows.appendAnswers(example, number, scoresPrompts: scoresPrompts, sharedPrefix: sharedPrefix)
            }
        }
        self = Self(rows, layout: SequenceLayout(rows.sequences))
    }

    private init(layout: SequenceLayout) { self.layout = layout }

    private init(_ rows: TokenRows, layout: SequenceLayout) {
        self.layout = layout
        tokens = rows.tokens
        self.rows = rows.rows
        targets = rows.targets
        examples = rows.examples
        answers = rows.answers
        prompts = rows.prompts
    }

    private mutating func append(_ example: Example, _ number: Int, from earliest: Int) {
        let first = targets.count
        defer {
            answers.append([first..<targets.count])
            prompts.append(first..<first)
        }
        guard let last = example.isTarget.lastIndex(of: true), last >= earliest else { return }
        let start = tokens.count
        for index in earliest...last where example.isTarget[index] {
            addTarget(example.tokens[index], row: index == 0 ? -1 : start + index - 1, number)
        }
        tokens += example.tokens[..<last]
        // The pieces of a row that was split are sequences of their own, and so is what dropout drops in them.
        sequences.append(.init(count: last, row: example.row << 24 ^ example.start))
    }

    private mutating func appendAnswers(
        _ example: Example, _ number: Int, scoresPrompts: Bool, sharedPrefix prefix: Int
    ) {
        let (parent, shared, first) = (tokens.count, max(0, example.answers[0] - 1), targets.count)
        precondition(prefix <= shared, "\(prefix) tokens shared by all, a prompt of \(shared + 1)")
        var segments = prefix > 0 ? [AttentionLayout.Segment(start: 0, count: prefix)] : []
        if shared > prefix {
            tokens += example.tokens[prefix..<shared]
            sequences.append(
                .init(count: shared - prefix, firstPosition: prefix, row: example.row << 24, segments: segments))
            segments.append(.init(start: parent, count: shared - prefix))
        }
        if scoresPrompts {
            for index in 0..<shared { addTarget(example.tokens[index + 1], row: parent + index, number) }
        }
        prompts.append(first..<targets.count)
        answers.append(
            example.answers.indices.map { answer in
                let first = targets.count
                appendAnswer(example, answer, number, firstPosition: shared, segments)
                return first..<targets.count
            })
    }

    private mutating func appendAnswer(
        _ example: Example, _ answer: Int, _ number: Int, firstPosition: Int, _ segments: [AttentionLayout.Segment]
    ) {
        let range = example.range(ofAnswer: answer)
        guard let last = example.isTarget[range].lastIndex(of: true) else { return }
        let start = tokens.count
        // Without a prompt there is no token before the answer: its first one is read and not predicted.
        let read = example.tokens[..<example.answers[0]].suffix(1) + example.tokens[range.lowerBound..<last]
        let lead = read.count - (last - range.lowerBound)
        for index in range where example.isTarget[index] {
            addTarget(example.tokens[index], row: start + lead + index - range.lowerBound - 1, number)
        }
        tokens += read
        sequences.append(
            .init(count: read.count, firstPosition: firstPosition, row: example.row << 24, segments: segments))
    }

    private mutating func addTarget(_ token: Int32, row: Int, _ example: Int) {
        rows.append(Int32(row))
        targets.append(token)
        examples.append(example)
    }
}
