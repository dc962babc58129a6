import Files
import OrderedCollections

extension Filters {
    static let ofSequences: [String: FilterFunction] = [
        "length": length, "count": length,
        "default": standard, "d": standard,
        "first": { value, _, interpreter in
            if case .object(let object) = value, let iterator = object as? Iterator {
                return iterator.next() ?? .undefined("the first item of an empty sequence")
            }
            return try interpreter.items(of: value).first ?? .undefined("the first item of an empty sequence")
        },
        "last": { value, _, interpreter in
            if value.isIterator {
                throw InputError("'last' needs a list, not a generator", hint: "Add '|list' before it")
            }
            return try interpreter.items(of: value).last ?? .undefined("the last item of an empty sequence")
        },
        "list": { value, _, interpreter in try .makeList(try interpreter.items(of: value)) },
        "reverse": { value, _, interpreter in
            if let text = value.string {
                try interpreter.budget.spend(bytes: text.utf8.count)
                return .string(String(String.UnicodeScalarView(text.unicodeScalars.reversed())))
            }
            if case .dict = value { return .object(Iterator(try interpreter.items(of: value).reversed())) }
            return .object(Iterator(try interpreter.items(of: value).reversed()))
        },
        "join": { value, arguments, interpreter in
            let bound = try arguments.bind("d", "attribute", to: "join")
            let separator = try bound[0]?.text(interpreter.budget) ?? ""
            let key = try attributeGetter(bound[1], interpreter)
            var out = ""
            for (index, item) in try interpreter.items(of: value).enumerated() {
                if index > 0 { out += separator }
                out += try key(item).text(interpreter.budget)
                try interpreter.budget.check(bytes: out.utf8.count)
            }
            try interpreter.budget.spend(bytes: out.utf8.count)
            return .string(out)
        },
        "items": { value, _, interpreter in
            if value.isUndefined { return .object(Iterator([])) }
            guard case .dict(let dict) = value else {
                throw InputError("'items' needs a dictionary, not \(value.typeName)")
            }
            try interpreter.budget.spend(dict.members.count)
            return .object(Iterator(try dict.members.map { try .makeTuple([$0.key, $0.value]) }))
        },
        "dictsort": { value, arguments, interpreter in
            let bound = try arguments.bind("case_sensitive", "by", "reverse", to: "dictsort")
            let by = try bound.string(1, default: "key")
            guard by == "key" || by == "value" else {
                throw InputError("'dictsort' sorts by key or value, not '\(by.prefix(40))'")
            }
            guard case .dict(let dict) = value else {
                throw value.fault("'dictsort' needs a dictionary, not \(value.typeName)")
            }
            let pairs = try dict.members.map { try Value.makeTuple([$0.key, $0.value]) }
            return try .makeList(
                try sort(pairs, reverse: bound.flag(2), caseSensitive: bound.flag(0), interpreter) { pair in
                    try interpreter.item(of: pair, .int(by == "key" ? 0 : 1))
                })
        },
        "sort": { value, arguments, interpreter in
            let bound = try arguments.bind("reverse", "case_sensitive", "attribute", to: "sort")
            let names = bound[2]?.string.map { PythonText.split($0, by: ",") } ?? []
            let keys = try names.map { try attributeGetter(.string($0), interpreter) }
            let single = try attributeGetter(bound[2], interpreter)
            let key: (Value) throws -> Value = { item in
                keys.count < 2
                    ? try single(item) : try .makeTuple(keys.map { fold(try $0(item), caseSensitive: bound.flag(1)) })
            }
            let items = try interpreter.items(of: value)
            return try .makeList(
                try sort(items, reverse: bound.flag(0), caseSensitive: bound.flag(1), interpreter, by: key))
        },
        "min": extreme { try Value.isLess($0, $1) },
        "max": extreme { try Value.isLess($1, $0) },
        "unique": { value, arguments, interpreter in
            let bound = try arguments.bind("case_sensitive", "attribute", to: "unique")
            let key = try attributeGetter(bound[1], interpreter)
            var seen: Set<Value> = []
            return .object(
                Iterator(
                    try interpreter.items(of: value).filter { item in
                        let folded = fold(try key(item), caseSensitive: bound.flag(0))
                        return seen.insert(try interpreter.hashable(folded)).inserted
                    }))
        },
        "sum": { value, arguments, interpreter in
            let bound = try arguments.bind("attribute", "start", to: "sum")
            let attribute = bound[0].flatMap { $0.isNone ? nil : $0 }
            let key = try attributeGetter(attribute, interpreter)
            let start = bound[1] ?? .int(0)
            guard start.string == nil else { throw InputError("'sum' cannot add up strings", hint: "Use '|join'") }
            return try interpreter.items(of: value).reduce(start) {
                try Operators.apply(.add, $0, try key($1), interpreter)
            }
        },
        "batch": { value, arguments, interpreter in
            let bound = try arguments.bind("linecount", "fill_with", to: "batch")
            let count = try bound.integer(0, default: 0)
            guard count > 0 else { throw InputError("'batch' needs a count above 0") }
            let items = try interpreter.items(of: value)
            let starts = stride(from: 0, to: items.count, by: min(count, items.count + 1))
            return .object(
                Iterator(
                    try starts.map { start in
                        let batch = Array(items[start..<start + min(count, items.count - start)])
                        guard let fill = bound[1], !fill.isNone, batch.count < count else {
                            return try .makeList(batch)
                        }
                        try interpreter.budget.spend(count)
                        return try .makeList(batch + Array(repeating: fill, count: count - batch.count))
                    }))
        },
        "attr": { value, arguments, interpreter in
            let name = try arguments.bind("name", to: "attr").string(0)
            // Unlike '.name', this never looks among a dictionary's members.
            if case .dict = value, !Methods.exists(name, on: value) { return .undefined(name) }
            return try interpreter.attribute(name, of: value)
        },
    ]

    private static let length: FilterFunction = { value, _, interpreter in
        switch value {
        case .undefined: return .int(0)
        case .string(let text), .markup(let text):
            try interpreter.budget.spend(bytes: text.utf8.count)
            return .int(text.unicodeScalars.count)
        case .list(let list), .tuple(let list): return .int(list.items.count)
        case .dict(let dict): return .int(dict.members.count)
        default:
            throw InputError(
                "a \(value.typeName) has no length", hint: value.isIterator ? "Add '|list' before it" : nil)
        }
    }

    private static let standard: FilterFunction = { value, arguments, _ in
        let bound = try arguments.bind("default_value", "boolean", to: "default")
        return value.isUndefined || (bound.flag(1) && !value.isTrue) ? bound[0] ?? .string("") : value
    }

    /// Python's order, texts without regard to case unless asked.
    private static func sort(
        _ items: [Value], reverse: Bool, caseSensitive: Bool, _ interpreter: Interpreter,
        by key: (Value) throws -> Value
    ) throws -> [Value] {
        let weight = items.reduce(0) { $0 + $1.weight }
        try interpreter.budget.spend(weight * (items.count.bitWidth - items.count.leadingZeroBitCount))
        return try Value.sorted(items, by: { fold(try key($0), caseSensitive: caseSensitive) }, reverse: reverse)
    }

    private static func fold(_ value: Value, caseSensitive: Bool) -> Value {
        guard !caseSensitive, let text = value.string else { return value }
        return .string(text.lowercased())
    }

    private static func extreme(_ isBetter: @escaping @Sendable (Value, Value) throws -> Bool) -> FilterFunction {
        { value, arguments, interpreter in
            let bound = try arguments.bind("case_sensitive", "attribute", to: "min or max")
            let key = try attributeGetter(bound[1], interpreter)
            let items = try interpreter.items(of: value)
            guard var best = items.first else { return .undefined("the extreme of an empty sequence") }
            for item in items.dropFirst() {
                try interpreter.budget.spend(min(item.weight, best.weight))
                let (a, b) = (
                    fold(try key(item), caseSensitive: bound.flag(0)), fold(try key(best), caseSensitive: bound.flag(0))
                )
                if try isBetter(a, b) { best = item }
            }
            return best
        }
    }

    /// What an `attribute` argument such as `'function.name'` or `0` reads from an item; without one, the item itself.
    static func attributeGetter(_ attribute: Value?, _ interpreter: Interpreter) throws -> (Value) throws -> Value {
        guard let attribute, !attribute.isNone else { return { $0 } }
        let path: [Value]
        if let text = attribute.string {
            path = PythonText.split(text, by: ".").map { part in Int(part).map(Value.int) ?? .string(part) }
        } else {
            path = [attribute]
        }
        return { item in try path.reduce(item) { try interpreter.item(of: $0, $1) } }
    }
}

extension Value {
    /// Whether it is a sequence that can be run through once only.
    var isIterator: Bool { if case .object(let object) = self { object is Iterator } else { false } }
}
