import Files
import OrderedCollections

/// The functions that every template can call.
enum Globals {
    /// Jinja's sandbox refuses longer ranges.
    private static let longestRange = 100_000

    /// The global of a name, or nil.
    static func value(named name: String) -> Value? {
        let body: Function.Body? =
            switch name {
            case "raise_exception": raise
            case "strftime_now":
                { arguments, interpreter in
                    let format = try arguments.bind("format", to: "strftime_now").string(0)
                    return .string(try interpreter.date.formatted(format))
                }
            case "range": range
            case "dict": dict
            case "namespace": namespace
            case "cycler":
                { arguments, _ in
                    guard !arguments.positional.isEmpty else { throw InputError("'cycler' needs at least one item") }
                    return .object(Cycler(arguments.positional))
                }
            case "joiner":
                { arguments, _ in
                    .object(Joiner(try arguments.bind("sep", to: "joiner")[0] ?? .string(", ")))
                }
            default: nil
            }
        return body.map { .object(Function(name, $0)) }
    }

    private static func raise(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        let message = try arguments.bind("message", to: "raise_exception").required(0)
        throw InputError(String(try message.text(interpreter.budget).prefix(2000)))
    }

    private static func range(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        let bound = try arguments.bind("start", "stop", "step", to: "range")
        _ = try bound.required(0)
        let first = try bound.integer(0, default: 0)
        let (start, stop) = bound[1] == nil ? (0, first) : (first, try bound.integer(1, default: 0))
        let step = try bound.integer(2, default: 1)
        guard step != 0 else { throw InputError("the step of 'range' must not be 0") }
        let span = step > 0 ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
        let count = span.partialValue <= 0 ? 0 : (span.partialValue - 1) / Int(clamping: step.magnitude) + 1
        guard !span.overflow, count <= longestRange else {
            throw InputError("'range' is longer than \(longestRange)")
        }
        try interpreter.budget.spend(count)
        return try .makeList((0..<count).map { .int(start + $0 * step) })
    }

    /// `dict(mapping, **members)`. A copy of a message still counts as that message.
    private static func dict(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        var members: OrderedDictionary<Value, Value> = [:]
        var message: Int?
        guard arguments.positional.count <= 1 else {
            throw InputError("'dict' takes at most one argument without a name")
        }
        if let source = arguments.positional.first {
            if case .dict(let dict) = source {
                try interpreter.budget.spend(dict.members.count)
                (members, message) = (dict.members, dict.message)
            } else {
                for pair in try interpreter.items(of: source) {
                    let parts = try interpreter.items(of: pair)
                    guard parts.count == 2 else { throw InputError("'dict' needs pairs of a key and a value") }
                    members[try interpreter.hashable(parts[0])] = parts[1]
                }
            }
        }
        for (name, value) in arguments.keyword { members[.string(name)] = value }
        if message == nil, members[.string("role")] != nil { message = interpreter.messageBeingRewritten }
        return try .makeDict(members, message: message)
    }

    private static func namespace(_ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        guard arguments.positional.count <= 1 else {
            throw InputError("'namespace' takes at most one argument without a name")
        }
        let namespace = try interpreter.makeNamespace()
        if let source = arguments.positional.first {
            guard case .dict(let dict) = source else { throw source.fault("'namespace' needs a dictionary") }
            for (key, value) in dict.members {
                guard let name = key.string else { throw InputError("the keys of a namespace must be strings") }
                namespace.members[name] = value
            }
        }
        for (name, value) in arguments.keyword { namespace.members[name] = value }
        if let reserved = namespace.members.keys.first(where: { $0.hasPrefix("_") }) {
            throw InputError("a namespace cannot hold '\(reserved)': names starting with an underscore are reserved")
        }
        return .object(namespace)
    }
}
