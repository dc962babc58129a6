import Files
import Tokenizers

/// A prompt and the answers that follow it, as tokens: how rows of preferences become examples.
///
/// An answer begins where the tokens of prompt and prompt + answer part, the earliest such place for all answers of the row, so that
/// they continue the same tokens. All of an answer is a target, what the template writes after it too (TRL's rule).
extension RowTokenizer {
    /// Tokenises a row of preferences or a prompt alone.
    func tokenizeAnswers(_ row: Row, number: Int, _ result: inout Result) throws {
        switch row {
        case .pair(let prompt, let chosen, let rejected, let margin):
            try tokenize(prompt, [chosen, rejected], Judgement(margin: margin), number, &result)
        case .labelled(let prompt, let answer, let isDesirable):
            try tokenize(prompt, [answer], Judgement(label: isDesirable), number, &result)
        case .prompt(let prompt, _): try tokenize(prompt, number, &result)
        case .messages, .promptCompletion, .chatCompletion, .text:
            preconditionFailure("a \(row.kind) row has no answers to compare")
        }
    }

    private func tokenize(
        _ prompt: Prompt, _ answers: [Answer], _ judgement: Judgement, _ number: Int, _ result: inout Result
    ) throws {
        let asked = try tokens(asking: prompt)
        let whole = try answers.map { try tokens(prompt, $0, &result.statistics) }
        let total = whole.reduce(0) { $0 + $1.count }
        guard !answers.contains(where: \.isEmpty) else { return result.statistics.drop(.emptyAnswer, tokens: total) }
        guard Set(whole).count == whole.count else { return result.statistics.drop(.equalAnswers, tokens: total) }
        let boundary = whole.map { LossMask.commonPrefix(asked, $0) }.min() ?? 0
        if boundary < asked.count { result.statistics.notes[Self.movedBoundary, default: 0] += 1 }
        guard boundary < options.maxLength else { return result.statistics.drop(.promptFillsLength, tokens: total) }
        guard let kept = try cut(whole, &result) else { return }
        let example = Self.example(kept, sharing: boundary, judgement, number)
        guard answers.indices.allSatisfy({ example.isTarget[example.range(ofAnswer: $0)].contains(true) }) else {
            return result.statistics.drop(.nothingTrained, tokens: total)
        }
        result.examples = [example]
        result.statistics.sharedPromptTokens = boundary * (answers.count - 1)
    }

    /// Sequences that begin with the same `boundary` tokens, as one prompt and its answers.
    private static func example(
        _ sequences: [[Int32]], sharing boundary: Int, _ judgement: Judgement, _ number: Int
    ) -> Example {
        var example = Example(
            tokens: Array(sequences[0][..<boundary]), isTarget: [Bool](repeating: false, count: boundary), row: number,
            judgement: judgement)
        for sequence in sequences {
            example.answers.append(example.tokens.count)
            example.tokens += sequence[boundary...]
            example.isTarget += (boundary..<sequence.count).map { $0 > 0 }
        }
        return example
    }

    /// A prompt alone, to be answered: nothing in it is a target.
    private func tokenize(_ prompt: Prompt, _ number: Int, _ result: inout Result) throws {
        let tokens = try tokens(asking: prompt)
        guard tokens.count >= 2 else { return result.statistics.drop(.tooShort, tokens: tokens.count) }
        guard tokens.count < options.maxLength else {
            return result.statistics.drop(.promptFillsLength, tokens: tokens.count)
        }
        result.examples = [
            Example(tokens: tokens, isTarget: [Bool](repeating: false, count: tokens.count), row: number)
        ]
    }

    private static let movedBoundary =
        "the end of the prompt has other tokens before an answer than alone; the answer begins where they part"

    /// What the model reads before it answers.
    private func tokens(asking prompt: Prompt) throws -> [Int32] {
        switch prompt {
        case .text(let text): return try encoder.tokens(text)
        case .conversation(let conversation):
            return try encoder.tokens(chatRenderer().prompt(conversation.messages, tools: conversation.tools))
        }
    }

    /// A prompt with an answer; plain text ends with an end of sequence, a conversation as its template ends it.
    private func tokens(_ prompt: Prompt, _ answer: Answer, _ statistics: inout DatasetStatistics) throws -> [Int32] {
        switch (prompt, answer) {
        case (.text(let prompt), .text(let answer)): return try withEOS(encoder.tokens(prompt + answer))
        case (.conversation(let prompt), .messages(let answer)):
            let renderer = try chatRenderer()
            let conversation = Conversation(prompt.messages + answer, tools: prompt.tools)
            renderer.notes(on: conversation).forEach { statistics.notes[$0, default: 0] += 1 }
            return try encoder.tokens(renderer.render(conversation).chat.text)
        default: preconditionFailure("a text and messages in one row")
        }
    }

    /// The sequences cut to length, or nil where the row is left out.
    private func cut(_ sequences: [[Int32]], _ result: inout Result) throws -> [[Int32]]? {
        let limit = options.maxLength
        let total = sequences.reduce(0) { $0 + $1.count }
        guard let longest = sequences.map(\.count).max(), longest > limit else { return sequences }
        switch options.overflow ?? .truncate {
        case .drop:
            result.statistics.drop(.tooLong, tokens: total)
            return nil
        case .error:
            throw InputError(
                "the row has \(longest) tokens, max_length is \(limit)",
                hint: "Raise max_length, or set overflow: truncate or drop")
        case .split:
            throw InputError(
                "overflow: split has no meaning for answers that are compared", hint: "Possible: truncate, drop, error")
        case .truncate:
            let cut = sequences.map { Array($0.prefix(limit)) }
            guard Set(cut).count == cut.count else {
                result.statistics.drop(.equalAfterTruncation, tokens: total)
                return nil
            }
            let lost = total - cut.reduce(0) { $0 + $1.count }
            result.statistics.truncatedRows = 1
            result.statistics.truncatedTokens = lost
            result.statistics.truncatedTrainedTokens = lost
            return cut
        }
    }
}
