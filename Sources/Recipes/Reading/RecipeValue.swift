import Files

/// A type that a recipe's key can hold.
protocol RecipeValue: Equatable, Sendable {
    /// What may be written, as a phrase: "a whole number".
    static var kind: String { get }

    /// Reads the value.
    ///
    /// - Throws: ``InputError`` naming the key path where something else is written.
    init(reading node: RecipeNode, as keyPath: String) throws

    /// The value as it is written.
    var written: RecipeNode.Content { get }
}

extension RecipeValue {
    /// The error for a value of another kind.
    static func wrongKind(_ node: RecipeNode, _ keyPath: String, hint: String? = nil) -> InputError {
        node.place.fault("`\(keyPath)` must be \(kind), not \(node.found)", hint: hint)
    }
}

extension Bool: RecipeValue {
    static var kind: String { "true or false" }

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard case .bool(let value) = node.content else { throw Self.wrongKind(node, keyPath) }
        self = value
    }

    var written: RecipeNode.Content { .bool(self) }
}

extension Int: RecipeValue {
    static var kind: String { "a whole number" }

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard case .integer(let value) = node.content else { throw Self.wrongKind(node, keyPath) }
        self = value
    }

    var written: RecipeNode.Content { .integer(self) }
}

extension Double: RecipeValue {
    static var kind: String { "a number" }

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .integer(let value): self = Double(value)
        case .number(let value) where value.isFinite: self = value
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content { .number(self) }
}

extension String: RecipeValue {
    static var kind: String { "a text" }

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .string(let value) where !value.isEmpty: self = value
        case .string: throw node.place.fault("`\(keyPath)` is empty")
        case .integer, .number, .bool: throw Self.wrongKind(node, keyPath, hint: "if it is a name, put it in quotes")
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content { .string(self) }
}

extension Optional: RecipeValue where Wrapped: RecipeValue {
    static var kind: String { Wrapped.kind }

    init(reading node: RecipeNode, as keyPath: String) throws {
        self = node.isNull ? nil : try Wrapped(reading: node, as: keyPath)
    }

    var written: RecipeNode.Content { self?.written ?? .null }
}

/// A list; one value alone is a list of one.
extension Array: RecipeValue where Element: RecipeValue {
    static var kind: String { "\(Element.kind) or a list of such" }

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard case .list(let items) = node.content else {
            self = [try Element(reading: node, as: keyPath)]
            return
        }
        guard !items.isEmpty else { throw node.place.fault("`\(keyPath)` is an empty list") }
        self = try items.enumerated().map { try Element(reading: $1, as: "\(keyPath)[\($0)]") }
    }

    var written: RecipeNode.Content { .list(map { RecipeNode($0.written) }) }
}

/// One of a few words.
protocol RecipeChoice: RecipeValue, CaseIterable, RawRepresentable where RawValue == String {}

extension RecipeChoice {
    static var kind: String {
        let words = allCases.map { "`\($0.rawValue)`" }
        guard let last = words.last, words.count > 1 else { return words.joined() }
        return words.dropLast().joined(separator: ", ") + " or " + last
    }

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard case .string(let word) = node.content else { throw Self.wrongKind(node, keyPath) }
        guard let value = Self(rawValue: word) else {
            let nearest = nearestName(to: word, among: Self.allCases.map(\.rawValue))
            throw node.place.fault(
                "`\(keyPath)` must be \(Self.kind), not `\(word)`", hint: nearest.map { "did you mean `\($0)`?" })
        }
        self = value
    }

    var written: RecipeNode.Content { .string(rawValue) }
}
