import Files
import Tokenizers

/// Rows to examples: template, tokens, mask, end of sequence, and what becomes of rows that are too long.
struct RowTokenizer: Sendable {
    let encoder: TextEncoder
    let renderer: ChatRenderer?
    let options: TokenizingOptions

    init(_ tokenizer: Tokenizer, renderer: ChatRenderer?, options: TokenizingOptions) {
        encoder = TextEncoder(tokenizer)
        self.renderer = renderer
        self.options = options
    }

    /// A row's tokens and which of them are trained, before it is cut to length.
    private struct MaskedRow {
        var tokens: [Int32]
        var isTarget: [Bool]
    }

    /// What one row became.
    struct Result: Sendable {
        var examples: [Example] = []
        var statistics = DatasetStatistics()
    }

    /// Tokenises row `number`.
    ///
    /// - Throws: ``InputError`` without file and line, which the caller knows.
    func tokenize(_ row: Row, number: Int) throws -> Result {
        let mask = try options.mask(for: row)
        var result = Result()
        result.statistics.rows = 1
        switch row {
        case .pair, .labelled, .prompt:
            try tokenizeAnswers(row, number: number, &result)
            if let example = result.examples.first, encoder.hasDoubleBOS(example.tokens) {
                result.statistics.doubleBOSRows = 1
            }
        case .messages, .promptCompletion, .chatCompletion, .text:
            let masked = try masked(row, mask, &result.statistics)
            try cut(masked, options.overflow(for: row), number, &result)
            if encoder.hasDoubleBOS(masked.tokens) { result.statistics.doubleBOSRows = 1 }
        }
        count(&result, isMasked: mask != .all)
        return result
    }

    /// Counts what was kept of a row.
    private func count(_ result: inout Result, isMasked: Bool) {
        guard let last = result.examples.last else { return }
        let tokens = result.examples.reduce(0) { $0 + $1.tokens.count }
        let trained = result.examples.reduce(0) { $0 + $1.targetCount }
        let endsTurn = endsTurn(last) ? 1 : 0
        result.statistics.keptRows = 1
        result.statistics.examples = result.examples.count
        result.statistics.tokens = tokens
        result.statistics.trainedTokens = trained
        result.statistics.longestRow = result.examples.map(\.tokens.count).max() ?? 0
        result.statistics.turnEndingRows = endsTurn
        // A prompt alone trains nothing by itself.
        guard isMasked, trained > 0 else { return }
        result.statistics.maskedRows = 1
        result.statistics.maskedPredictableTokens = tokens - result.examples.count
        result.statistics.maskedTrainedTokens = trained
        result.statistics.maskedTurnEndingRows = endsTurn
    }

    /// Whether a sequence, or every answer to a prompt, ends its turn.
    private func endsTurn(_ example: Example) -> Bool {
        guard !example.answers.isEmpty else { return encoder.endsTurn(example.tokens, example.isTarget) }
        return example.answers.indices.allSatisfy { index in
            let range = example.range(ofAnswer: index)
            return encoder.endsTurn(Array(example.tokens[range]), Array(example.isTarget[range]))
        }
    }

    private func masked(_ row: Row, _ mask: TrainOn, _ statistics: inout DatasetStatistics) throws -> MaskedRow {
        switch row {
        case .text(let text): return try trainedFromStart(withEOS(encoder.tokens(text)))
        case .promptCompletion(let prompt, let completion):
            let tokens = try withEOS(encoder.tokens(prompt + completion))
            if mask == .all { return trainedFromStart(tokens) }
            return try completed(tokens, prompt: encoder.tokens(prompt))
        case .messages(let conversation):
            let renderer = try chatRenderer()
            renderer.notes(on: conversation).forEach { statistics.notes[$0, default: 0] += 1 }
            return try masked(conversation, renderer, mask)
        case .chatCompletion(let prompt, let completion):
            let renderer = try chatRenderer()
            let whole = Conversation(prompt.messages + completion, tools: prompt.tools)
            renderer.notes(on: whole).forEach { statistics.notes[$0, default: 0] += 1 }
            if mask == .all { return try masked(whole, renderer, .all) }
            let (chat, arguments) = try renderer.render(whole)
            let asked = try renderer.render(
                prompt.messages, tools: prompt.tools, addGenerationPrompt: true, arguments: arguments)
            return try completed(encoder.tokens(chat.text), prompt: encoder.tokens(asked.text))
        case .pair, .labelled, .prompt: preconditionFailure("the mask of a \(row.kind) is where its answers begin")
        }
    }

    private func masked(_ conversation: Conversation, _ renderer: ChatRenderer, _ mask: TrainOn) throws -> MaskedRow {
        let chat = try ChatMask(conversation, renderer: renderer)
        let encoding = try encoder.encode(chat.text)
        let spans = try chat.spans(mask, specials: encoder.specials(of: encoding))
        return MaskedRow(
            tokens: encoding.ids,
            isTarget: LossMask.targets(
                offsets: encoding.offsets, spans: spans, first: options.predictsFirstToken))
    }

    func chatRenderer() throws -> ChatRenderer {
        guard let renderer else {
            throw InputError(
                "the row is a conversation, but the model has no chat template",
                hint: "Put a chat_template.jinja beside its tokenizer, or train on prompt/completion or text rows")
        }
        return renderer
    }

    func withEOS(_ tokens: [Int32]) -> [Int32] {
        guard options.appendsEOS, let eos = encoder.tokenizer.eosToken, tokens.last != eos else { return tokens }
        return tokens + [eos]
    }

    private func trainedFromStart(_ tokens: [Int32]) -> MaskedRow {
        MaskedRow(
            tokens: tokens, isTarget: LossMask.targets(count: tokens.count, from: 0, first: options.predictsFirstToken))
    }

    private func completed(_ tokens: [Int32], prompt: [Int32]) -> MaskedRow {
        let boundary = LossMask.commonPrefix(prompt, tokens)
        return MaskedRow(
            tokens: tokens,
            isTarget: LossMask.targets(count: tokens.count, from: boundary, first: options.predictsFirstToken))
    }

    // MARK: - Length

    private func cut(_ row: MaskedRow, _ overflow: Overflow, _ number: Int, _ result: inout Result) throws {
        let limit = options.maxLength
        let count = row.tokens.count
        guard count >= 2 else { return result.statistics.drop(.tooShort, tokens: count) }
        guard row.isTarget.contains(true) else { return result.statistics.drop(.nothingTrained, tokens: count) }
        guard count > limit else {
            return result.examples = [Example(tokens: row.tokens, isTarget: row.isTarget, row: number)]
        }
        switch overflow {
        case .drop: result.statistics.drop(.tooLong, tokens: count)
        case .error:
            throw InputError(
                "the row has \(count) tokens, max_length is \(limit)",
                hint: "Raise max_length, or set overflow: truncate, split or drop")
        case .truncate:
            result.examples = pieces(row, [0..<limit], number)
            if result.examples.isEmpty {
                result.statistics.drop(.nothingTrainedAfterTruncation, tokens: count)
            } else {
                result.statistics.truncatedRows = 1
                result.statistics.truncatedTokens = count - limit
                result.statistics.truncatedTrainedTokens = row.isTarget[limit...].count { $0 }
            }
        case .split:
            let ranges = stride(from: 0, to: count, by: limit).map { $0..<min($0 + limit, count) }
            result.examples = pieces(row, ranges, number)
            result.statistics.splitRows = 1
            result.statistics.splitTokensLeftOut = count - result.examples.reduce(0) { $0 + $1.tokens.count }
            if result.examples.isEmpty { result.statistics.drop(.nothingTrainedAfterTruncation, tokens: count) }
        }
    }

    /// The parts of a row that hold something to train; the first token of each mostly has nothing before it to be predicted from.
    private func pieces(_ row: MaskedRow, _ ranges: [Range<Int>], _ number: Int) -> [Example] {
        ranges.compactMap { range in
            var targets = Array(row.isTarget[range])
            if !options.predictsFirstToken { targets[0] = false }
            guard targets.contains(true) else { return nil }
            return Example(tokens: Array(row.tokens[range]), isTarget: targets, row: number, start: range.lowerBound)
        }
    }
}
