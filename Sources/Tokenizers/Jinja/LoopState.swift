import Files

/// One running `for` loop, which is also its `loop` variable.
final class LoopState: ObjectValue {
    private var source: ArraySlice<Value>
    /// Items that passed the filter and were looked at ahead of their turn.
    private var pending: ArraySlice<Value> = []
    private let passes: ((Value) throws -> Bool)?
    private var index = -1
    private var previous: Value?
    private var current: Value?
    private var lastChanged: [Value]?

    /// Makes a loop before its first item. `passes` is the loop's `if`, asked of each item when it is its turn, as Jinja does.
    init(_ items: [Value], passes: ((Value) throws -> Bool)?) {
        source = items[...]
        self.passes = passes
    }

    override var typeName: String { "LoopContext" }

    /// Moves on to the next item.
    func next() throws -> Value? {
        guard let item = try pending.popFirst() ?? fetch() else { return nil }
        previous = current
        current = item
        index += 1
        return item
    }

    private func fetch() throws -> Value? {
        while let item = source.popFirst() {
            guard let passes else { return item }
            if try passes(item) { return item }
        }
        return nil
    }

    private func peek() throws -> Value? {
        if pending.isEmpty, let item = try fetch() { pending = [item] }
        return pending.first
    }

    private func remaining() throws -> Int {
        while let item = try fetch() { pending.append(item) }
        return pending.count
    }

    override func attribute(_ name: String, _ interpreter: Interpreter) throws -> Value? {
        switch name {
        case "index": .int(index + 1)
        case "index0": .int(index)
        case "first": .bool(index == 0)
        case "last": .bool(try peek() == nil)
        case "length": .int(index + 1 + (try remaining()))
        case "revindex": .int(try remaining() + 1)
        case "revindex0": .int(try remaining())
        case "depth": .int(1)
        case "depth0": .int(0)
        case "previtem": previous ?? .undefined("loop.previtem")
        case "nextitem": try peek() ?? .undefined("loop.nextitem")
        case "cycle": .object(Function("cycle") { [index] arguments, _ in try Self.cycle(arguments, index) })
        case "changed": .object(Function("changed") { [self] arguments, _ in changed(arguments.positional) })
        default: nil
        }
    }

    private static func cycle(_ arguments: Arguments, _ index: Int) throws -> Value {
        guard !arguments.positional.isEmpty else { throw InputError("'loop.cycle' needs at least one argument") }
        return arguments.positional[index % arguments.positional.count]
    }

    private func changed(_ values: [Value]) -> Value {
        defer { lastChanged = values }
        return .bool(lastChanged != values)
    }
}
