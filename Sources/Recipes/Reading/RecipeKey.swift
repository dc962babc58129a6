import Files

/// The values that a key accepts, as a phrase for errors and the reference, and as a check.
struct RecipeRange<Value>: Sendable {
    var phrase: String
    var contains: @Sendable (Value) -> Bool
}

extension RecipeRange where Value: Comparable & Sendable {
    static func above(_ bound: Value) -> Self { Self(phrase: "above \(bound)") { $0 > bound } }
    static func atLeast(_ bound: Value) -> Self { Self(phrase: "at least \(bound)") { $0 >= bound } }
    static func within(_ range: ClosedRange<Value>) -> Self {
        Self(phrase: "from \(range.lowerBound) to \(range.upperBound)") { range.contains($0) }
    }
    static func within(_ range: Range<Value>) -> Self {
        Self(phrase: "at least \(range.lowerBound) and below \(range.upperBound)") { range.contains($0) }
    }
}

/// One key of a section: how it is read, written and described. The list of them is the only place where a key is declared.
struct RecipeKey<Section> {
    let name: String
    /// What the key holds, its unit and its effect.
    let summary: String
    /// What may be written.
    let kind: String
    let isRequired: Bool
    let read: (inout Section, RecipeNode, String) throws -> Void
    let write: (Section) -> RecipeNode.Content

    /// A key that fills one field.
    init<Value: RecipeValue>(
        _ name: String, _ field: WritableKeyPath<Section, Value>, range: RecipeRange<Value>? = nil,
        required: Bool = false,
        _ summary: String
    ) {
        self.name = name
        self.summary = summary
        kind = Value.kind + (range.map { " " + $0.phrase } ?? "")
        isRequired = required
        read = { section, node, keyPath in section[keyPath: field] = try readValue(node, keyPath, range) }
        write = { $0[keyPath: field].written }
    }

    /// A key that may be left out, `null` meaning the same.
    init<Value: RecipeValue>(
        _ name: String, optional field: WritableKeyPath<Section, Value?>, range: RecipeRange<Value>? = nil,
        _ summary: String
    ) {
        self.name = name
        self.summary = summary
        kind = Value.kind + (range.map { " " + $0.phrase } ?? "")
        isRequired = false
        read = { section, node, keyPath in
            section[keyPath: field] = node.isNull ? nil : try readValue(node, keyPath, range)
        }
        write = { $0[keyPath: field].written }
    }
}

private func readValue<Value: RecipeValue>(_ node: RecipeNode, _ keyPath: String, _ range: RecipeRange<Value>?) throws
    -> Value
{
    let value = try Value(reading: node, as: keyPath)
    if let range, !range.contains(value) {
        throw node.place.fault("`\(keyPath)` must be \(Value.kind) \(range.phrase), not \(node.found)")
    }
    return value
}

/// A part of a recipe under one name.
protocol RecipeSection: Equatable, Sendable {
    /// The section's key in the recipe.
    static var name: String { get }
    /// What the section decides.
    static var summary: String { get }
    /// Every key, in the order of the reference.
    static var keys: [RecipeKey<Self>] { get }
    /// The section with every default.
    init()
}

extension RecipeSection {
    /// Reads a section strictly: every key known, every required one there.
    init(reading entries: [RecipeNode.Entry], of section: RecipePlace) throws {
        self.init()
        let keys = Self.keys
        for entry in entries {
            guard let key = keys.first(where: { $0.name == entry.key }) else {
                throw unknownKey(entry, in: Self.name, known: keys.map(\.name))
            }
            try key.read(&self, entry.value, "\(Self.name).\(key.name)")
        }
        if let missing = keys.first(where: { key in key.isRequired && !entries.contains { $0.key == key.name } }) {
            throw section.fault("`\(Self.name).\(missing.name)` is missing", hint: missing.summary)
        }
    }

    /// The section's keys with their values, in the order of the reference.
    var written: [RecipeNode.Entry] {
        Self.keys.map { RecipeNode.Entry(key: $0.name, place: RecipePlace(), value: RecipeNode($0.write(self))) }
    }
}
