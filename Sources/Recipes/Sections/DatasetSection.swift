import Datasets
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

extension Overflow: RecipeChoice {}

extension DocumentUnit: RecipeChoice {}

/// The shape of a dataset's rows: one of ``RowFormats``, or told from each row.
public enum FormatChoice: Equatable, Sendable {
    /// Told from each row's keys.
    case auto
    /// The format of this name.
    case named(String)
}

extension FormatChoice: RecipeValue {
    private static var words: [String] { ["auto"] + RowFormats.all.map { $0.name } }
    static var kind: String { words.map { "`\($0)`" }.joined(separator: ", ") }

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard case .string(let word) = node.content, Self.words.contains(word) else {
            var hint: String?
            if case .string(let word) = node.content { hint = nearestName(to: word, among: Self.words) }
            throw Self.wrongKind(node, keyPath, hint: hint.map { "did you mean `\($0)`?" })
        }
        self = word == "auto" ? .auto : .named(word)
    }

    var written: RecipeNode.Content {
        switch self {
        case .auto: .string("auto")
        case .named(let name): .string(name)
        }
    }
}

extension CachePolicy: RecipeValue {
    static let kind = "true, false or a folder"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .bool(let isOn): self = isOn ? .standard : .none
        case .string: self = .folder(try String(reading: node, as: keyPath))
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .standard: .bool(true)
        case .none: .bool(false)
        case .folder(let path): path.written
        }
    }
}

/// `dataset:`, the rows and how they become batches.
public struct DatasetSettings: Equatable, Sendable {
    /// The training rows: JSON, JSONL or plain text, each also `.zst`.
    public var train: [DataSource] = []
    /// The rows of evaluation; nil for none.
    public var eval: EvaluationSource?
    /// The shape of the rows.
    public var format = FormatChoice.auto
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
    /// What becomes of a row longer than ``maxLength``; nil for truncate in chats and pairs, split in text, drop for reward models.
    public var overflow: Overflow?
    /// What one document is in a plain text file.
    public var documents = DocumentUnit.line
    /// Where tokenised rows are kept.
    public var cache = CachePolicy.standard
    /// Whether rows are read as they are needed instead of being counted first.
    public var streaming = false

    /// The rows of a micro-batch where a recipe says neither rows nor tokens.
    public static let defaultRowsPerBatch = 8

    /// The defaults, with no rows named.
    public init() {}

    /// The training files as the dataset reader takes them.
    public var sources: [DatasetSource] { train.map { source($0.path, weight: $0.weight) } }

    /// The file of evaluation as the dataset reader takes it; nil for a share or none.
    public var evaluationSource: DatasetSource? {
        if case .file(let path) = eval { source(path, weight: 1) } else { nil }
    }

    /// How large a micro-batch is.
    public var batchSize: BatchSize {
        tokensPerBatch.map { .tokens($0) } ?? .rows(rowsPerBatch ?? Self.defaultRowsPerBatch)
    }

    private func source(_ path: String, weight: Double) -> DatasetSource {
        var name: String?
        if case .named(let format) = format { name = format }
        return DatasetSource(path, weight: weight, format: name, columns: columns.names, documents: documents)
    }
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
            RecipeKey("format", \.format, "The shape of the rows; `auto` tells it row by row."),
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

/// Names of columns that are not a format's own.
public struct ColumnNames: Equatable, Sendable {
    /// A format's key → the column that holds it.
    public var names: [String: String] = [:]
}

extension ColumnNames: RecipeValue {
    static let kind = "a mapping from a format's keys to column names"

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard let entries = node.entries else { throw Self.wrongKind(node, keyPath) }
        let known = Set(RowFormats.all.flatMap { $0.requiredKeys + $0.optionalKeys })
        for entry in entries {
            guard known.contains(entry.key) else { throw unknownKey(entry, in: keyPath, known: known.sorted()) }
            names[entry.key] = try String(reading: entry.value, as: "\(keyPath).\(entry.key)")
        }
    }

    var written: RecipeNode.Content {
        .mapping(
            names.sorted { $0.key < $1.key }.map {
                RecipeNode.Entry(key: $0.key, place: RecipePlace(), value: RecipeNode(.string($0.value)))
            })
    }
}
