import Files

/// The methods of Python's `str`, `dict`, `list` and `tuple` that a template may call.
///
/// Those that would change a list or dictionary are refused, as in the sandbox that transformers renders in.
enum Methods {
    private static let ofStrings: Set<String> = [
        "capitalize", "casefold", "center", "count", "endswith", "find", "format", "index", "isalnum", "isalpha",
        "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "ljust", "lower",
        "lstrip",
        "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit",
        "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
    ]
    private static let ofDicts: Set<String> = [
        "clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
    ]
    private static let ofLists: Set<String> = [
        "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
    ]
    private static let ofTuples: Set<String> = ["count", "index"]
    private static let changing: Set<String> = [
        "append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update",
    ]

    /// Whether the value's type has a method of this name.
    static func exists(_ name: String, on value: Value) -> Bool {
        switch value {
        case .string, .markup: ofStrings.contains(name)
        case .dict: ofDicts.contains(name)
        case .list: ofLists.contains(name)
        case .tuple: ofTuples.contains(name)
        default: false
        }
    }

    /// Calls a method; nil where the type has none of this name.
    static func call(
        _ name: String, on value: Value, _ arguments: Arguments, _ interpreter: Interpreter
    ) throws -> Value? {
        switch value {
        case .string(let text), .markup(let text):
            try interpreter.budget.spend(bytes: text.utf8.count)
            return try StringMethods.call(name, on: text, arguments, interpreter)
        case .dict(let dict): return try call(name, on: dict, arguments, interpreter)
        case .list(let list), .tuple(let list): return try call(name, on: list, value, arguments, interpreter)
        default: return nil
        }
    }

    private static func refusal(_ name: String, _ type: String) -> InputError {
        InputError(
            "'\(name)' would change a \(type), which templates may not do",
            hint: type == "list"
                ? "Build a new list, as in 'set x = x + [item]'" : "Build a new one with dict(old, key=value)")
    }

    private static func call(
        _ name: String, on dict: DictValue, _ arguments: Arguments, _ interpreter: Interpreter
    ) throws -> Value? {
        guard !changing.contains(name) else { throw refusal(name, "dictionary") }
        try interpreter.budget.spend(name == "get" ? 1 : dict.members.count)
        switch name {
        case "get":
            let bound = try arguments.bind("key", "default", to: "get")
            return dict.members[try interpreter.hashable(try bound.required(0))] ?? bound[1] ?? Value.none
        case "items":
            try arguments.expectNone(for: name)
            return try .makeList(dict.members.map { try .makeTuple([$0.key, $0.value]) })
        case "keys":
            try arguments.expectNone(for: name)
            return try .makeList(Array(dict.members.keys))
        case "values":
            try arguments.expectNone(for: name)
            return try .makeList(Array(dict.members.values))
        case "copy": return .dict(dict)
        default: return nil
        }
    }

    private static func call(
        _ name: String, on list: ListValue, _ value: Value, _ arguments: Arguments, _ interpreter: Interpreter
    ) throws -> Value? {
        guard !changing.contains(name) else { throw refusal(name, "list") }
        try interpreter.budget.spend(list.weight)
        switch name {
        case "count":
            let item = try arguments.bind("value", to: name).required(0)
            return .int(list.items.count { $0 == item })
        case "index":
            let item = try arguments.bind("value", to: name).required(0)
            guard let index = list.items.firstIndex(of: item) else {
                throw InputError("the value given to 'index' is not in the \(value.typeName)")
            }
            return .int(index)
        case "copy": return value
        default: return nil
        }
    }
}
