import Files

/// Where a value was written, for errors.
struct RecipePlace: Equatable, Sendable {
    /// The recipe's path; nil for a value from the command line.
    var file: String?
    /// The line, or the argument.
    var text: String?

    /// An error that points here.
    func fault(_ message: String, hint: String? = nil) -> InputError {
        InputError(message, file: file, place: text, hint: hint)
    }
}

/// A value of a recipe as it was written, with its place.
struct RecipeNode: Sendable {
    /// What YAML can hold. A mapping keeps the order in which its keys were written.
    enum Content: Sendable {
        case null
        case bool(Bool)
        case integer(Int)
        case number(Double)
        case string(String)
        case list([RecipeNode])
        case mapping([Entry])
    }

    /// A key of a mapping and its value.
    struct Entry: Sendable {
        var key: String
        var place: RecipePlace
        var value: RecipeNode
    }

    var content: Content
    var place: RecipePlace

    init(_ content: Content, at place: RecipePlace = RecipePlace()) {
        self.content = content
        self.place = place
    }

    var isNull: Bool { if case .null = content { true } else { false } }

    /// The entries of a mapping; nil for anything else.
    var entries: [Entry]? { if case .mapping(let entries) = content { entries } else { nil } }

    /// How an error names the value that it found.
    var found: String {
        switch content {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .string(let value): "the text `\(value.count > 60 ? value.prefix(60) + "…" : value[...])`"
        case .list: "a list"
        case .mapping: "a mapping"
        }
    }

    /// Puts a value at a key path, making the mappings on the way; what stood there is replaced.
    mutating func set(_ path: ArraySlice<String>, to value: RecipeNode) {
        guard let key = path.first else {
            self = value
            return
        }
        var entries = entries ?? []
        let index = entries.firstIndex { $0.key == key } ?? entries.count
        if index == entries.count { entries.append(Entry(key: key, place: value.place, value: RecipeNode(.null))) }
        entries[index].place = value.place
        entries[index].value.set(path.dropFirst(), to: value)
        content = .mapping(entries)
    }
}
