import Files

/// Takes typed values out of an `adapter_config.json`, key by key, and keeps account of those not taken.
///
/// A key that is missing, or null, has PEFT's default.
public struct PEFTReader {
    private var rest: [String: JSON]
    private let file: String

    init(_ values: JSON, file: String) throws {
        guard let members = values.object else { throw InputError("is \(values.kind), not an object", file: file) }
        rest = Dictionary(members.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
        self.file = file
    }

    /// The keys that nobody took, in alphabetical order.
    var unread: [String] { rest.keys.sorted() }

    /// Takes a value; nil where the key is missing or null.
    public mutating func take(_ key: String) -> JSON? {
        guard let value = rest.removeValue(forKey: key), value != .null else { return nil }
        return value
    }

    /// A fault of a key.
    public func fault(_ key: String, _ message: String, hint: String? = nil) -> InputError {
        InputError(message, file: file, place: "`\(key)`", hint: hint)
    }

    /// Takes what a conversion makes of a value; `fallback` where the key is missing or null.
    public mutating func take<Value>(
        _ key: String, default fallback: Value, _ kind: String, _ convert: (JSON) throws -> Value?
    ) throws -> Value {
        guard let value = take(key) else { return fallback }
        guard let converted = try convert(value) else {
            throw fault(key, "\(kind) is needed, not \(excerpt(value))")
        }
        return converted
    }

    /// Takes a whole number.
    public mutating func integer(_ key: String, default fallback: Int) throws -> Int {
        try take(key, default: fallback, "a whole number", \.integer)
    }

    /// Takes a finite number.
    public mutating func number(_ key: String, default fallback: Double) throws -> Double {
        try take(key, default: fallback, "a number") { $0.number.flatMap { $0.isFinite ? $0 : nil } }
    }

    /// Takes true or false.
    public mutating func flag(_ key: String, default fallback: Bool) throws -> Bool {
        try take(key, default: fallback, "true or false", \.bool)
    }

    /// Takes a string.
    public mutating func string(_ key: String) throws -> String? {
        try take(key, default: nil, "a string") { $0.string }
    }

    /// Takes a list of strings, or one string as a list of one.
    public mutating func strings(_ key: String) throws -> [String] {
        try take(key, default: [], "a string or a list of strings") { Self.strings($0) ?? $0.string.map { [$0] } }
    }

    /// Takes a list of module names, or a regular expression.
    public mutating func moduleNames(_ key: String) throws -> ModuleNames? {
        try take(key, default: nil, "a list of module names or a regular expression") { value in
            if let pattern = value.string { return .expression(pattern) }
            return Self.strings(value).map { .list($0) }
        }
    }

    /// Takes a list of whole numbers, or one as a list of one; nil where there is none.
    public mutating func integers(_ key: String) throws -> [Int]? {
        try take(key, default: nil, "a whole number or a list of them") { value in
            if let one = value.integer { return [one] }
            guard let elements = value.array else { return nil }
            let numbers = elements.compactMap(\.integer)
            return numbers.count == elements.count ? numbers : nil
        }
    }

    /// Takes a table of values by module.
    public mutating func table<Value>(
        _ key: String, _ kind: String, _ convert: (JSON) -> Value?
    ) throws -> ModuleTable<Value> {
        try take(key, default: ModuleTable(), "a mapping from module names to \(kind)") { value in
            guard let members = value.object else { return nil }
            let rows = members.compactMap { name, value in
                convert(value).map { ModuleTable<Value>.Row(key: name, value: $0) }
            }
            return rows.count == members.count ? ModuleTable(rows) : nil
        }
    }

    /// Takes a key that asks for something this program does not do unless it is missing, null, empty, or has one of these values.
    public mutating func refuse(_ key: String, unless accepted: JSON = .null, hint: String? = nil) throws {
        guard let value = take(key), value != accepted, value != [], value != [:] else { return }
        throw fault(key, "\(key): \(excerpt(value)) is not supported", hint: hint)
    }

    private static func strings(_ value: JSON) -> [String]? {
        guard let elements = value.array else { return nil }
        let strings = elements.compactMap(\.string)
        return strings.count == elements.count ? strings : nil
    }

    /// A value for a message, not the whole of a long one.
    private func excerpt(_ value: JSON) -> String {
        let text = value.text(.spaced)
        return text.count > 80 ? text.prefix(80) + "…" : text
    }
}
