import Files

/// One way in which people write training rows: the keys it is known by, and how a row becomes a ``Row``.
///
/// To add one, write `Formats/XFormat.swift` and a line in ``RowFormats/all``.
public protocol RowFormat: Sendable {
    /// The name in a recipe's `format:`.
    static var name: String { get }
    /// What its rows can be read for.
    static var purposes: Set<RowPurpose> { get }
    /// Keys of which every row must have all. They tell the formats apart.
    static var requiredKeys: [String] { get }
    /// Keys that are read where present.
    static var optionalKeys: [String] { get }
    /// Reads one row.
    ///
    /// - Throws: ``InputError`` whose place is the key path inside the row.
    static func row(from object: JSON) throws -> Row
}

extension RowFormat {
    /// Rows to be learnt as they stand.
    public static var purposes: Set<RowPurpose> { [.supervised] }
}

/// The formats there are.
public enum RowFormats {
    /// Every format; of those that fit the purpose, the first whose required keys a row has is taken where the recipe names none.
    public static let all: [any RowFormat.Type] = [
        MessagesFormat.self,
        ShareGPTFormat.self,
        PromptCompletionFormat.self,
        AlpacaFormat.self,
        TextFormat.self,
        ShareGPTPreferenceFormat.self,
        PreferenceFormat.self,
        UnpairedFormat.self,
        UnpairedMessagesFormat.self,
        PromptFormat.self,
    ]

    /// The formats of rows for a purpose.
    static func all(for purpose: RowPurpose) -> [any RowFormat.Type] { all.filter { $0.purposes.contains(purpose) } }

    /// The format of that name.
    ///
    /// - Throws: ``InputError`` with the nearest name.
    public static func named(_ name: String) throws -> any RowFormat.Type {
        if let format = all.first(where: { $0.name == name }) { return format }
        let names = all.map { $0.name }
        let nearest = nearestName(to: name, among: names).map { "Did you mean \"\($0)\"? " } ?? ""
        throw InputError("unknown format \"\(name)\"", hint: nearest + "Formats: \(names.joined(separator: ", "))")
    }

    /// The format for a purpose that a row's keys belong to.
    ///
    /// - Throws: ``InputError`` that lists what each format expects, and the key nearest to one the row has.
    public static func detected(in object: JSON, for purpose: RowPurpose = .supervised) throws -> any RowFormat.Type {
        let keys = try object.keysOfRow()
        let formats = all(for: purpose)
        func fits(_ format: any RowFormat.Type) -> Bool { format.requiredKeys.allSatisfy(keys.contains) }
        if let format = formats.first(where: fits) { return format }
        if keys.contains("chosen") || keys.contains("rejected") { throw pairError(keys, purpose) }
        let near = nearMiss(keys, formats)
        if near.isEmpty, let other = all.first(where: fits) {
            throw InputError(
                "the row has the format \(other.name), but \(purpose.phrase) are read here", hint: expectations(formats)
            )
        }
        throw InputError("no known format has the keys \(quotedList(keys))", hint: near + expectations(formats))
    }

    private static func pairError(_ keys: [String], _ purpose: RowPurpose) -> InputError {
        guard keys.contains("chosen"), keys.contains("rejected") else {
            let (known, missing) = keys.contains("chosen") ? ("chosen", "rejected") : ("rejected", "chosen")
            let nearest = nearestName(to: missing, among: keys).map { "Did you mean it by \"\($0)\"?" }
            return InputError("the row has \"\(known)\" but no \"\(missing)\"", hint: nearest)
        }
        return InputError(
            "the row is a preference pair (chosen/rejected), but \(purpose.phrase) are read here",
            hint: expectations(all(for: purpose)))
    }

    private static func expectations(_ formats: [any RowFormat.Type]) -> String {
        "Expected one of: "
            + formats.map { "\($0.requiredKeys.joined(separator: " + ")) (\($0.name))" }.joined(separator: "; ")
    }

    private static func nearMiss(_ keys: [String], _ formats: [any RowFormat.Type]) -> String {
        let known = formats.flatMap { $0.requiredKeys }
        for key in keys where !known.contains(key) {
            if let nearest = nearestName(to: key, among: known) { return "Did you mean \"\(nearest)\" by \"\(key)\"? " }
        }
        return ""
    }
}

/// `"a", "b"`, at most eight of them.
func quotedList(_ names: [String]) -> String {
    let shown = names.prefix(8).map { "\"\($0.prefix(60))\"" }.joined(separator: ", ")
    return names.isEmpty ? "(none)" : names.count > 8 ? shown + ", …" : shown
}

// Reading members of a row: each says what was expected, and where in the row.
extension JSON {
    func keysOfRow() throws -> [String] {
        guard let members = object else { throw InputError("the row is \(kind), expected an object") }
        return Array(members.keys)
    }

    /// A member that must be there and be a string.
    func requiredString(_ key: String, at path: String = "") throws -> String {
        guard let object else { throw InputError("is \(kind), expected an object", place: path.isEmpty ? nil : path) }
        guard let value = object[key] else {
            let nearest = nearestName(to: key, among: object.keys).map { "Did you mean it by \"\($0)\"?" }
            throw InputError("the key \"\(key)\" is missing", place: path.isEmpty ? nil : path, hint: nearest)
        }
        guard let string = value.string else {
            throw InputError("is \(value.kind), expected a string", place: joinedPath(path, key))
        }
        return string
    }

    /// A member that may be absent or null but otherwise must be a string.
    func optionalString(_ key: String, at path: String = "") throws -> String? {
        guard let value = self[key] else { return nil }
        guard let string = value.string else {
            throw InputError("is \(value.kind), expected a string", place: joinedPath(path, key))
        }
        return string
    }

    /// A member that must be a list with at least one element.
    func requiredList(_ key: String) throws -> [JSON] {
        guard let value = self[key] else { throw InputError("the key \"\(key)\" is missing") }
        guard let list = value.array else { throw InputError("is \(value.kind), expected a list", place: key) }
        guard !list.isEmpty else { throw InputError("is an empty list", place: key) }
        return list
    }

    /// The `tools` column: a list, or a list written as a JSON string. Empty, blank and null count as none.
    func toolsColumn() throws -> JSON? {
        guard let value = self["tools"] else { return nil }
        guard let text = value.string else { return try JSON.toolList(value) }
        guard text.contains(where: { !$0.isWhitespace }) else { return nil }
        do {
            return try JSON.toolList(JSON(parsing: text))
        } catch let error as InputError {
            throw InputError("holds no JSON list of tools: \(error.message)", place: "tools")
        }
    }

    private static func toolList(_ value: JSON) throws -> JSON? {
        if value == .null { return nil }
        guard let list = value.array else {
            throw InputError("is \(value.kind), expected a list of tools", place: "tools")
        }
        return list.isEmpty ? nil : value
    }
}

func joinedPath(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
