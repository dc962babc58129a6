import Files

/// A value with identity: a namespace, a callable, the `loop` variable, an iterator.
class ObjectValue {
    /// Python's name for the type.
    var typeName: String { "object" }
    /// What printing it gives.
    var text: String { "<\(typeName)>" }

    /// An attribute, or nil where there is none.
    func attribute(_ name: String, _ interpreter: Interpreter) throws -> Value? { nil }
}

/// `namespace(…)`: the one value that can be assigned to.
final class Namespace: ObjectValue {
    var members: [String: Value] = [:]
    override var typeName: String { "Namespace" }
    override func attribute(_ name: String, _ interpreter: Interpreter) throws -> Value? { members[name] }
}

/// What one filter, `map`, `items` and the like give: a sequence that can be run through once.
final class Iterator: ObjectValue {
    private var items: ArraySlice<Value>
    init(_ items: [Value]) { self.items = items[...] }
    override var typeName: String { "generator" }
    override var text: String { "<generator object>" }

    /// Takes the next item.
    func next() -> Value? { items.popFirst() }

    /// Takes everything that is left.
    func rest() -> [Value] {
        defer { items = [] }
        return Array(items)
    }
}

/// Something that can be called.
class CallableValue: ObjectValue {
    func call(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        throw InputError("'\(typeName)' cannot be called")
    }
}

/// A global function.
final class Function: CallableValue {
    typealias Body = (Arguments, Interpreter) throws -> Value
    let name: String
    private let body: Body

    init(_ name: String, _ body: @escaping Body) {
        self.name = name
        self.body = body
    }

    override var typeName: String { "function" }
    override var text: String { "<function \(name)>" }
    override func call(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        try body(arguments, interpreter)
    }
}

/// A method of a string, list or dictionary that was read without being called.
final class BoundMethod: CallableValue {
    let receiver: Value
    let name: String

    init(_ receiver: Value, _ name: String) {
        self.receiver = receiver
        self.name = name
    }

    override var typeName: String { "builtin_function_or_method" }
    override func call(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        guard let value = try Methods.call(name, on: receiver, arguments, interpreter) else {
            throw InputError("'\(receiver.typeName)' has no method '\(name)'")
        }
        return value
    }
}

/// A macro, or the `caller` of a call block, with the scope it was defined in.
final class Macro: CallableValue {
    let definition: MacroDefinition
    let scope: Scope?

    init(_ definition: MacroDefinition, scope: Scope?) {
        self.definition = definition
        self.scope = scope
    }

    override var typeName: String { "Macro" }
    override func attribute(_ name: String, _ interpreter: Interpreter) throws -> Value? {
        switch name {
        case "name": .string(definition.name)
        case "arguments": try .makeTuple(definition.parameters.map { .string($0.text) })
        default: nil
        }
    }
    override func call(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        try interpreter.call(self, arguments)
    }
}

/// `cycler(a, b, …)`: gives its items in turn.
final class Cycler: ObjectValue {
    private let items: [Value]
    private var position = 0
    init(_ items: [Value]) { self.items = items }
    override var typeName: String { "Cycler" }
    override func attribute(_ name: String, _ interpreter: Interpreter) throws -> Value? {
        switch name {
        case "current": return items[position]
        case "next":
            return .object(
                Function("next") { [self] _, _ in
                    defer { position = (position + 1) % items.count }
                    return items[position]
                })
        case "reset":
            return .object(
                Function("reset") { [self] _, _ in
                    position = 0
                    return .none
                })
        default: return nil
        }
    }
}

/// `joiner(separator)`: nothing when first called, the separator from then on.
final class Joiner: CallableValue {
    private let separator: Value
    private var isUsed = false
    init(_ separator: Value) { self.separator = separator }
    override var typeName: String { "Joiner" }
    override func call(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        defer { isUsed = true }
        return isUsed ? separator : .string("")
    }
}
