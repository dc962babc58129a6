import Files
import Yams

/// Reads YAML into ``RecipeNode``s, keeping the line of every value.
///
/// Plain scalars follow YAML 1.2's core schema, so `2e-4` is a number and `no` is a text. Tags mean nothing in a recipe and are refused.
struct YAMLParsing {
    /// The recipe's path; nil for a value given on the command line.
    var file: String?
    /// The argument that the text comes from; nil in a file, where values carry their lines.
    var argument: String?

    private static let deepestNesting = 32
    private static let mostNodes = 100_000
    /// Aliases of aliases grow exponentially; this few cannot.
    private static let mostAliases = 16

    /// Parses one document. An empty one is null.
    func parse(_ text: String) throws -> RecipeNode {
        guard aliases(in: text) <= Self.mostAliases else {
            throw InputError("more than \(Self.mostAliases) YAML aliases", file: file, place: argument)
        }
        do {
            guard let root = try Yams.compose(yaml: text, .basic) else { return RecipeNode(.null, at: place(nil)) }
            var budget = Self.mostNodes
            return try node(root, depth: 0, budget: &budget)
        } catch let error as YamlError {
            throw fault(error, in: text)
        }
    }

    /// Counts what may be aliases: a `*` where a value can begin, followed by a character of a name.
    private func aliases(in text: String) -> Int {
        var count = 0
        var previous = UInt8(ascii: " ")
        var isStar = false
        for byte in text.utf8 {
            let isName =
                byte >= 0x80 || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || (byte >= 0x30 && byte <= 0x39)
                || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            if isStar && isName { count += 1 }
            isStar = byte == UInt8(ascii: "*") && " \t\r\n[{,:".utf8.contains(previous)
            previous = byte
        }
        return count
    }

    private func place(_ mark: Mark?) -> RecipePlace {
        RecipePlace(file: file, text: argument ?? mark.map { "line \($0.line)" })
    }

    private func node(_ source: Node, depth: Int, budget: inout Int) throws -> RecipeNode {
        let place = place(source.mark)
        budget -= 1
        guard depth <= Self.deepestNesting, budget > 0 else {
            throw place.fault("the value is nested too deeply or too large")
        }
        switch source {
        case .scalar(let scalar):
            return RecipeNode(try content(scalar, at: place), at: place)
        case .sequence(let sequence):
            try refuse(sequence.tag, at: place)
            return RecipeNode(.list(try sequence.map { try node($0, depth: depth + 1, budget: &budget) }), at: place)
        case .mapping(let mapping):
            try refuse(mapping.tag, at: place)
            return RecipeNode(.mapping(try entries(mapping, depth: depth, budget: &budget)), at: place)
        case .alias:
            throw place.fault("an alias stands where a value is needed")
        }
    }

    private func entries(_ mapping: Node.Mapping, depth: Int, budget: inout Int) throws -> [RecipeNode.Entry] {
        var entries: [RecipeNode.Entry] = []
        var seen: Set<String> = []
        for (key, value) in mapping {
            let place = place(key.mark)
            guard case .scalar(let scalar) = key else { throw place.fault("a key must be a word") }
            guard seen.insert(scalar.string).inserted else {
                throw place.fault("the key `\(scalar.string)` is written twice")
            }
            let value = try node(value, depth: depth + 1, budget: &budget)
            entries.append(RecipeNode.Entry(key: scalar.string, place: place, value: value))
        }
        return entries
    }

    private func content(_ scalar: Node.Scalar, at place: RecipePlace) throws -> RecipeNode.Content {
        if scalar.style != .plain { return .string(scalar.string) }
        try refuse(scalar.tag, at: place)
        return plainScalar(scalar.string)
    }

    private func refuse(_ tag: Tag, at place: RecipePlace) throws {
        guard tag == Tag.implicit else {
            throw place.fault("YAML tags such as `\(tag.description)` are not used in recipes")
        }
    }

    private func fault(_ error: YamlError, in text: String) -> InputError {
        func at(_ problem: String, _ mark: Mark) -> InputError {
            let lines = text.split(separator: "\n", maxSplits: mark.line, omittingEmptySubsequences: false)
            let hasTab = mark.line <= lines.count && lines[max(0, mark.line - 1)].contains("\t")
            let hint = hasTab ? "YAML is indented with spaces, not tabs" : nil
            return place(mark).fault("not valid YAML: \(problem)", hint: hint)
        }
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            return at((context.map { $0.text + ", " } ?? "") + problem, mark)
        case .duplicatedKeysInMapping(let names, let context):
            return place(context.mark).fault(
                "the key \(names.map { "`\($0)`" }.joined(separator: ", ")) is written twice")
        case .reader(let problem, let offset, _, _):
            let line = offset.map { text.prefix($0).split(separator: "\n", omittingEmptySubsequences: false).count }
            return RecipePlace(file: file, text: argument ?? line.map { "line \($0)" }).fault(
                "not valid YAML: \(problem)")
        default:
            return place(nil).fault("not valid YAML")
        }
    }
}

/// What an unquoted word means in YAML 1.2's core schema, less octal, hexadecimal and the infinities, which stay texts.
func plainScalar(_ word: String) -> RecipeNode.Content {
    switch word {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    default: break
    }
    guard word.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 || "+-.eE".utf8.contains($0) }) else { return .string(word) }
    if let value = Int(word) { return .integer(value) }
    return Double(word).map { .number($0) } ?? .string(word)
}
