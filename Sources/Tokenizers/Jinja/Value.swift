import Files
import OrderedCollections

/// A value in a running template, with Python's semantics.
///
/// Lists and dictionaries never change once made, as in the sandbox that transformers renders in; only namespaces do.
enum Value {
    /// A name, attribute or item that is not there; it prints as nothing, and using it otherwise is an error that names it.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
    /// A string marked by `safe` or `escape`. Adding it to a plain string escapes the plain one.
    case markup(String)
    case list(ListValue)
    case tuple(ListValue)
    case dict(DictValue)
    case object(ObjectValue)
}

/// The items of a list or tuple.
final class ListValue {
    let items: [Value]
    /// How deep its items nest, and how many values a walk over all of them meets: both bounded, so that no walk is endless.
    let depth, weight: Int

    init(_ items: [Value]) throws {
        (depth, weight) = try Value.bounds(items)
        self.items = items
    }
}

/// The members of a dictionary, in order.
final class DictValue {
    let members: OrderedDictionary<Value, Value>
    let depth, weight: Int
    /// Which message of the conversation this is, or was made from. Spans are recorded by it.
    let message: Int?

    init(_ members: OrderedDictionary<Value, Value>, message: Int? = nil) throws {
        (depth, weight) = try Value.bounds(members.values)
        self.members = members
        self.message = message
    }

    subscript(_ key: String) -> Value? { members[.string(key)] }
}

extension Value {
    /// How deep lists and dictionaries may nest, which every recursive walk relies on.
    static let deepestNesting = 300
    /// How many values one list or dictionary may hold, nested ones counted each time they are reached.
    static let largestWeight = 4_000_000

    fileprivate static func bounds(_ items: some Sequence<Value>) throws -> (depth: Int, weight: Int) {
        var depth = 0
        var weight = 1
        for item in items {
            switch item {
            case .list(let list), .tuple(let list):
                depth = max(depth, list.depth)
                weight += list.weight
            case .dict(let dict):
                depth = max(depth, dict.depth)
                weight += dict.weight
            default: weight += 1
            }
            guard weight <= largestWeight else {
                throw InputError("a list or dictionary grows past \(largestWeight) values")
            }
        }
        guard depth < deepestNesting else {
            throw InputError("lists or dictionaries nest more than \(deepestNesting) levels deep")
        }
        return (depth + 1, weight)
    }

    static func makeList(_ items: [Value]) throws -> Value { .list(try ListValue(items)) }
    static func makeTuple(_ items: [Value]) throws -> Value { .tuple(try ListValue(items)) }
    static func makeDict(_ members: OrderedDictionary<Value, Value>, message: Int? = nil) throws -> Value {
        .dict(try DictValue(members, message: message))
    }

    /// A JSON value, as Python's `json.loads` would give it.
    init(_ json: JSON, message: Int? = nil) throws {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .int(value)
        case .number(let value): self = .float(value)
        case .string(let value): self = .string(value)
        case .array(let elements): self = try .makeList(elements.map { try Value($0) })
        case .object(let object):
            var members = OrderedDictionary<Value, Value>(minimumCapacity: object.count)
            for (key, value) in object { members[.string(key)] = try Value(value) }
            self = try .makeDict(members, message: message)
        }
    }

    init(_ literal: Literal) {
        switch literal {
        case .none: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .int(value)
        case .float(let value): self = .float(value)
        case .string(let value): self = .string(value)
        }
    }

    /// The text, if it is a string.
    var string: String? {
        switch self {
        case .string(let text), .markup(let text): text
        default: nil
        }
    }

    /// The integer value of an integer or boolean.
    var integer: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// The value of any number, booleans included.
    var number: Double? {
        if case .float(let value) = self { return value }
        return integer.map(Double.init)
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }
    var isNone: Bool { if case .none = self { true } else { false } }

    /// The message of the conversation that this is, if it is one.
    var message: Int? { if case .dict(let dict) = self { dict.message } else { nil } }

    /// Python's truth of a value.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .string(let text), .markup(let text): !text.isEmpty
        case .list(let list), .tuple(let list): !list.items.isEmpty
        case .dict(let dict): !dict.members.isEmpty
        case .object: true
        }
    }

    /// Python's name for the type, for error messages.
    var typeName: String {
        switch self {
        case .undefined: "undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .string, .markup: "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dict: "dict"
        case .object(let object): object.typeName
        }
    }

    /// The error for using something undefined, or the given one for a value of another type.
    func fault(_ message: @autoclosure () -> String) -> InputError {
        if case .undefined(let name) = self { return InputError("'\(name)' is undefined") }
        return InputError(message())
    }
}
