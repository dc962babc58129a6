import Files

/// A file of rows and how often it counts.
public struct DataSource: Equatable, Sendable {
    /// The file's path.
    public var path: String
    /// How often the file's rows appear in an epoch: 1 once, 2 twice, 0.5 half of them.
    public var weight: Double

    /// A file whose rows appear `weight` times in an epoch.
    public init(path: String, weight: Double = 1) {
        self.path = path
        self.weight = weight
    }
}

extension DataSource: RecipeValue {
    static let kind = "a path, or { path, weight }"

    init(reading node: RecipeNode, as keyPath: String) throws {
        if case .string = node.content {
            self.init(path: try String(reading: node, as: keyPath))
            return
        }
        guard let entries = node.entries else { throw Self.wrongKind(node, keyPath) }
        self.init(path: "")
        for entry in entries {
            switch entry.key {
            case "path": path = try String(reading: entry.value, as: keyPath + ".path")
            case "weight": weight = try Double(reading: entry.value, as: keyPath + ".weight")
            default: throw unknownKey(entry, in: keyPath, known: ["path", "weight"])
            }
        }
        guard !path.isEmpty else { throw node.place.fault("`\(keyPath).path` is missing") }
        guard weight > 0 else { throw node.place.fault("`\(keyPath).weight` must be above 0, not \(weight)") }
    }

    var written: RecipeNode.Content {
        if weight == 1 { return .string(path) }
        return .mapping(
            [("path", path.written), ("weight", weight.written)].map {
                RecipeNode.Entry(key: $0.0, place: RecipePlace(), value: RecipeNode($0.1))
            })
    }
}

/// What a run is evaluated on.
public enum EvaluationSource: Equatable, Sendable {
    /// The rows of another file.
    case file(String)
    /// A share of the training rows, chosen by the seed and not trained on.
    case share(Double)
}

extension EvaluationSource: RecipeValue {
    static let kind = "a path, or a share above 0 and below 1"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .string: self = .file(try String(reading: node, as: keyPath))
        case .number(let share) where share > 0 && share < 1: self = .share(share)
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .file(let path): path.written
        case .share(let share): share.written
        }
    }
}

/// The shape of a dataset's rows.
public enum RowFormat: String, CaseIterable, RecipeChoice {
    /// Seen from the first rows.
    case auto
    /// `{"messages": [{"role", "content"}]}`.
    case messages
    /// `{"conversations": [{"from", "value"}]}`.
    case sharegpt
    /// `{"instruction", "input", "output"}`.
    case alpaca
    /// `{"prompt", "completion"}`.
    case promptCompletion = "prompt_completion"
    /// `{"text"}`, or a plain text file.
    case text
}

/// What becomes of a row longer than `max_length`.
public enum OverflowRule: String, CaseIterable, RecipeChoice {
    /// Its start is kept.
    case truncate
    /// It becomes several rows.
    case split
    /// It is left out.
    case drop
    /// The run does not start.
    case error
}

/// What one document is in a plain text file.
public enum DocumentRule: String, CaseIterable, RecipeChoice {
    /// A line.
    case line
    /// What stands between blank lines.
    case blankLine = "blank_line"
    /// The whole file.
    case file
}

/// Where tokenised rows are kept for the next run.
public enum RowCache: Equatable, Sendable {
    /// In the user's cache folder.
    case standard
    /// Nowhere.
    case off
    /// In this folder.
    case folder(String)
}

extension RowCache: RecipeValue {
    static let kind = "true, false or a folder"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .bool(let isOn): self = isOn ? .standard : .off
        case .string: self = .folder(try String(reading: node, as: keyPath))
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .standard: .bool(true)
        case .off: .bool(false)
        case .folder(let path): path.written
        }
    }
}

/// A part of a row that can stand under another name.
public enum ColumnRole: String, CaseIterable, RecipeChoice {
    /// A conversation.
    case messages
    /// The tools that a conversation may call.
    case tools
    /// What is given.
    case prompt
    /// What is to be learnt.
    case completion
    /// Running text.
    case text
    /// Alpaca's task.
    case instruction
    /// Alpaca's optional context.
    case input
    /// Alpaca's answer.
    case output
    /// A system message beside the conversation.
    case system
}

/// `dataset:`, the rows and how they become batches.
public struct DatasetSettings: Equatable, Sendable {
    /// The training rows: JSON, JSONL or plain text, each also `.zst`.
    public var train: [DataSource] = []
    /// The rows of evaluation; nil for none.
    public var eval: EvaluationSource?
    /// The shape of the rows.
    public var format = RowFormat.auto
    /// The names of columns that are not the format's own.
    public var columns = ColumnNames()
    /// The longest row, in tokens.
    public var maxLength = 1024
    /// Whether rows share a batch up to `tokens_per_batch`.
    public var packing = false
    /// Tokens in a micro-batch. Exactly one of this and ``rowsPerBatch`` is set once a recipe has been read.
    public var tokensPerBatch: Int?
    /// Rows in a micro-batch.
    public var rowsPerBatch: Int?
    /// Whether every epoch has its own order, drawn from the seed.
    public var shuffle = true
    /// What becomes of a row longer than ``maxLength``; nil for truncate in chats and pairs, split in text.
    public var overflow: OverflowRule?
    /// What one document is in a plain text file.
    public var documents = DocumentRule.line
    /// Where tokenised rows are kept.
    public var cache = RowCache.standard
    /// Whether rows are read as they are needed instead of being counted first.
    public var streaming = false

    /// The rows of a micro-batch where a recipe says neither rows nor tokens.
    public static let defaultRowsPerBatch = 8

    /// The defaults, with no rows named.
    public init() {}
}

extension DatasetSettings: RecipeSection {
    static let name = "dataset"
    static let summary = "The rows and how they become batches."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "train", \.train, required: true,
                "Training rows: a JSON, JSONL or plain text file, also .zst; or a list of files, each with a weight: how often its rows appear in an epoch."
            ),
            RecipeKey(
                "eval", optional: \.eval,
                "Rows of evaluation: a file, or a share of the training rows, chosen by the seed and not trained on."),
            RecipeKey("format", \.format, "The shape of the rows; `auto` sees it from the first ones."),
            RecipeKey("columns", \.columns, "Names of columns that are not the format's own, such as { text: body }."),
            RecipeKey("max_length", \.maxLength, range: .atLeast(2), "The longest row, in tokens."),
            RecipeKey(
                "packing", \.packing,
                "Rows share a batch up to tokens_per_batch, without seeing each other. Needs tokens_per_batch of at least max_length."
            ),
            RecipeKey(
                "tokens_per_batch", optional: \.tokensPerBatch, range: .atLeast(2),
                "Tokens in a micro-batch; rows are placed best-fit-decreasing. Not beside rows_per_batch."),
            RecipeKey(
                "rows_per_batch", optional: \.rowsPerBatch, range: .atLeast(1),
                "Rows in a micro-batch, in order. \(defaultRowsPerBatch) where neither is given."),
            RecipeKey("shuffle", \.shuffle, "Every epoch has its own order, drawn from the seed."),
            RecipeKey(
                "overflow", optional: \.overflow,
                "What becomes of a row longer than max_length. Left out: truncate for chats and pairs, split for text."),
            RecipeKey("documents", \.documents, "What one document is in a plain text file."),
            RecipeKey(
                "cache", \.cache,
                "Keeps tokenised rows for the next run: in the user's cache folder, or in a folder of yours."),
            RecipeKey(
                "streaming", \.streaming,
                "Rows are read as they are needed instead of being counted first. Needs training.max_steps."),
        ]
    }
}

/// Names of columns by what they hold.
public struct ColumnNames: Equatable, Sendable {
    /// The name of each role that does not have its usual one.
    public var names: [ColumnRole: String] = [:]
}

extension ColumnNames: RecipeValue {
    static let kind = "a mapping from roles to column names"

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard let entries = node.entries else { throw Self.wrongKind(node, keyPath) }
        for entry in entries {
            guard let role = ColumnRole(rawValue: entry.key) else {
                throw unknownKey(entry, in: keyPath, known: ColumnRole.allCases.map(\.rawValue))
            }
            names[role] = try String(reading: entry.value, as: "\(keyPath).\(entry.key)")
        }
    }

    var written: RecipeNode.Content {
        .mapping(
            ColumnRole.allCases.compactMap { role in
                names[role].map {
                    RecipeNode.Entry(key: role.rawValue, place: RecipePlace(), value: RecipeNode(.string($0)))
                }
            })
    }
}
