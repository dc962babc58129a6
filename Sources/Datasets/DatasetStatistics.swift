import Files

/// Why a row is not trained.
public enum DropReason: String, Sendable, CaseIterable {
    /// `overflow: drop`, and the row is longer than `max_length`.
    case tooLong = "longer than max_length"
    /// Fewer than two tokens: nothing to predict.
    case tooShort = "fewer than two tokens"
    /// No token of it is trained: no assistant message, an empty answer.
    case nothingTrained = "no trained token"
    /// All that would be trained lies beyond `max_length`.
    case nothingTrainedAfterTruncation = "no trained token within max_length"
    /// The two answers of a pair are the same.
    case equalAnswers = "equal answers"
    /// They differ beyond `max_length` only.
    case equalAfterTruncation = "equal answers within max_length"
    /// An answer says nothing.
    case emptyAnswer = "an empty answer"
    /// The prompt leaves no room for an answer.
    case promptFillsLength = "a prompt of max_length or more"
}

/// What became of a dataset's rows: every row and token that is not trained as written is counted here.
public struct DatasetStatistics: Sendable, Hashable {
    /// Rows read.
    public var rows = 0
    /// Rows of which something is trained.
    public var keptRows = 0
    /// Sequences made of them: more than ``keptRows`` where rows were split.
    public var examples = 0
    /// Tokens of the sequences.
    public var tokens = 0
    /// Those of them that are trained.
    public var trainedTokens = 0
    /// Tokens of the longest sequence.
    public var longestRow = 0
    /// Rows cut at `max_length`.
    public var truncatedRows = 0
    /// Tokens cut off them.
    public var truncatedTokens = 0
    /// Those of the tokens cut off that would have been trained.
    public var truncatedTrainedTokens = 0
    /// Prompt tokens that stand once for several answers instead of once for each.
    public var sharedPromptTokens = 0
    /// Rows cut into pieces.
    public var splitRows = 0
    /// Tokens of pieces left out because nothing in them is trained.
    public var splitTokensLeftOut = 0
    /// Rows left out, by reason.
    public var droppedRows: [DropReason: Int] = [:]
    /// Tokens of the rows left out.
    public var droppedTokens = 0
    /// Rows that begin with BOS twice.
    public var doubleBOSRows = 0
    /// Rows whose last trained token ends the turn or the text.
    public var turnEndingRows = 0
    /// Kept rows of which only a part should be trained: those under `assistant`, `last_turn` and `completion`.
    public var maskedRows = 0
    /// Their predictable tokens.
    public var maskedPredictableTokens = 0
    /// Their trained tokens.
    public var maskedTrainedTokens = 0
    /// Those of them whose last trained token ends the turn.
    public var maskedTurnEndingRows = 0
    /// Sentences on what the chat template cannot express, with the number of rows.
    public var notes: [String: Int] = [:]

    /// Nothing read yet.
    public init() {}

    /// Tokens that could be trained: all but the first of each sequence.
    public var predictableTokens: Int { tokens - examples }
    /// The share of the predictable tokens that is trained, 0 … 1.
    public var trainedShare: Double { predictableTokens > 0 ? Double(trainedTokens) / Double(predictableTokens) : 0 }
    /// The share of the kept rows whose last trained token ends the turn, 0 … 1.
    public var turnEndingShare: Double { keptRows > 0 ? Double(turnEndingRows) / Double(keptRows) : 0 }
    /// All rows left out.
    public var droppedRowCount: Int { droppedRows.values.reduce(0, +) }

    mutating func drop(_ reason: DropReason, tokens: Int) {
        droppedRows[reason, default: 0] += 1
        droppedTokens += tokens
    }

    /// The plain counters with their names, in the order above: one list for adding, writing and reading.
    private static let counters: [(name: String, path: WritableKeyPath<DatasetStatistics, Int> & Sendable)] = [
        ("rows", \.rows), ("kept_rows", \.keptRows), ("examples", \.examples), ("tokens", \.tokens),
        ("trained_tokens", \.trainedTokens), ("truncated_rows", \.truncatedRows),
        ("truncated_tokens", \.truncatedTokens), ("truncated_trained_tokens", \.truncatedTrainedTokens),
        ("shared_prompt_tokens", \.sharedPromptTokens),
        ("split_rows", \.splitRows), ("split_tokens_left_out", \.splitTokensLeftOut),
        ("dropped_tokens", \.droppedTokens), ("double_bos_rows", \.doubleBOSRows),
        ("turn_ending_rows", \.turnEndingRows),
        ("masked_rows", \.maskedRows), ("masked_predictable_tokens", \.maskedPredictableTokens),
        ("masked_trained_tokens", \.maskedTrainedTokens), ("masked_turn_ending_rows", \.maskedTurnEndingRows),
    ]

    /// Adds the counts of other rows.
    public static func += (a: inout DatasetStatistics, b: DatasetStatistics) {
        for (_, path) in counters { a[keyPath: path] += b[keyPath: path] }
        a.longestRow = max(a.longestRow, b.longestRow)
        a.droppedRows.merge(b.droppedRows, uniquingKeysWith: +)
        a.notes.merge(b.notes, uniquingKeysWith: +)
    }

    /// The counts as JSON.
    public var json: JSON {
        var object: JSON = [:]
        for (name, path) in Self.counters { object = object.setting(name, to: .integer(self[keyPath: path])) }
        object = object.setting("longest_row", to: .integer(longestRow))
        func counts(_ pairs: [(String, Int)]) -> JSON {
            pairs.sorted { $0.0 < $1.0 }.reduce([:]) { $0.setting($1.0, to: .integer($1.1)) }
        }
        object = object.setting("dropped_rows", to: counts(droppedRows.map { ($0.key.rawValue, $0.value) }))
        return object.setting("notes", to: counts(notes.map { ($0.key, $0.value) }))
    }

    /// Reads back what ``json`` wrote; nil where anything is missing.
    init?(_ json: JSON) {
        for (name, path) in Self.counters {
            guard let value = json[name]?.integer else { return nil }
            self[keyPath: path] = value
        }
        guard let longest = json["longest_row"]?.integer else { return nil }
        longestRow = longest
        for (name, count) in json["dropped_rows"]?.object ?? [:] {
            guard let reason = DropReason(rawValue: name), let count = count.integer else { return nil }
            droppedRows[reason] = count
        }
        for (note, count) in json["notes"]?.object ?? [:] { notes[note] = count.integer ?? 0 }
    }
}
