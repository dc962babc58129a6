import Files

/// One file of rows.
public struct DatasetSource: Sendable, Hashable {
    /// The file.
    public var path: String
    /// How often an epoch takes its rows: 1 every row once, 0.5 half of them (another half the next epoch), 2 each twice.
    public var weight: Double
    /// A format's name; nil: told from each row's keys.
    public var format: String?
    /// Our key → the column's name in the file, where they differ.
    public var columns: [String: String]
    /// How plain text is cut into documents.
    public var documents: DocumentUnit

    /// Names a file.
    public init(
        _ path: String, weight: Double = 1, format: String? = nil, columns: [String: String] = [:],
        documents: DocumentUnit = .line
    ) {
        self.path = path
        self.weight = weight
        self.format = format
        self.columns = columns
        self.documents = documents
    }
}

/// Which tokens are trained.
public enum TrainOn: String, Sendable, CaseIterable {
    /// Every assistant span: after the generation prompt, up to and including its end-of-turn token.
    case assistant
    /// The last such span.
    case lastTurn = "last_turn"
    /// Everything after the longest common token prefix of prompt (with generation prompt) and prompt + completion.
    case completion
    /// Every token but the first of each document; that too where it can be predicted.
    case all
}

/// What happens to a row longer than `max_length` tokens.
public enum Overflow: String, Sendable, CaseIterable {
    /// Keep its start.
    case truncate
    /// Cut it into pieces of `max_length`.
    case split
    /// Leave it out.
    case drop
    /// Stop with an error.
    case error
}

/// What becomes of rows on their way to tokens.
public struct TokenizingOptions: Sendable, Hashable {
    /// What rows are read for.
    public var purpose: RowPurpose
    /// Which tokens are trained; nil: assistant for conversations, completion for prompts with completions and preferences, all for text.
    public var trainOn: TrainOn?
    /// The longest row in tokens.
    public var maxLength: Int
    /// What happens to longer rows; nil: split for text, else truncate.
    public var overflow: Overflow?
    /// Whether an end-of-sequence token is appended to text and plain completions that lack it. Training does, evaluation never.
    public var appendsEOS: Bool
    /// Whether the first token of a row can be predicted, because learned tokens stand before it: prompt tuning.
    public var predictsFirstToken: Bool

    /// Makes options.
    public init(
        trainOn: TrainOn? = nil, maxLength: Int = 1024, overflow: Overflow? = nil, appendsEOS: Bool = true,
        purpose: RowPurpose = .supervised, predictsFirstToken: Bool = false
    ) {
        precondition(maxLength >= 2, "max_length \(maxLength) leaves nothing to predict")
        self.purpose = purpose
        self.trainOn = trainOn
        self.maxLength = maxLength
        self.overflow = overflow
        self.appendsEOS = appendsEOS
        self.predictsFirstToken = predictsFirstToken
    }

    /// The mask for a row.
    ///
    /// - Throws: ``InputError`` where the mask asked for has no meaning for such a row.
    func mask(for row: Row) throws -> TrainOn {
        let (fallback, allowed): (TrainOn, [TrainOn]) =
            switch row {
            case .messages: (.assistant, [.assistant, .lastTurn, .all])
            case .promptCompletion, .chatCompletion: (.completion, [.completion, .all])
            case .text: (.all, [.all])
            case .pair, .labelled, .prompt: (.completion, [.completion])
            }
        let mask = trainOn ?? fallback
        guard allowed.contains(mask) else {
            throw InputError(
                "train_on: \(mask.rawValue) has no meaning for a \(row.kind) row",
                hint: "Possible: \(allowed.map(\.rawValue).joined(separator: ", "))")
        }
        return mask
    }

    /// What happens to a row that is too long.
    func overflow(for row: Row) -> Overflow {
        if let overflow { return overflow }
        if case .text = row { return .split }
        return .truncate
    }
}
