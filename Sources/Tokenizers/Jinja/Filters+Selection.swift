import Files

extension Filters {
    static let ofSelection: [String: FilterFunction] = [
        "select": selecting(true, byAttribute: false),
        "reject": selecting(false, byAttribute: false),
        "selectattr": selecting(true, byAttribute: true),
        "rejectattr": selecting(false, byAttribute: true),
        "map": { value, arguments, interpreter in
            let transform = try mapper(arguments, interpreter)
            return .object(Iterator(try interpreter.items(of: value).map(transform)))
        },
        "groupby": { value, arguments, interpreter in
            let bound = try arguments.bind("attribute", "default", "case_sensitive", to: "groupby")
            let key = try attributeGetter(try bound.required(0), interpreter)
            let items = try interpreter.items(of: value)
            try interpreter.budget.spend(items.count * (items.count.bitWidth - items.count.leadingZeroBitCount))
            var groups: [(key: Value, items: [Value])] = []
            for item in try Value.sorted(items, by: key) {
                let value = try key(item)
                if groups.last?.key == value {
                    groups[groups.count - 1].items.append(item)
                } else {
                    groups.append((value, [item]))
                }
            }
            return try .makeList(groups.map { try .makeTuple([$0.key, try .makeList($0.items)]) })
        },
    ]

    /// `select`, `reject`, `selectattr` and `rejectattr`: the items that pass a test, or that are true without one.
    private static func selecting(_ wanted: Bool, byAttribute: Bool) -> FilterFunction {
        { value, arguments, interpreter in
            var arguments = arguments
            var key: (Value) throws -> Value = { $0 }
            if byAttribute {
                guard !arguments.positional.isEmpty else {
                    throw InputError("'selectattr' and 'rejectattr' need an attribute")
                }
                key = try attributeGetter(arguments.positional.removeFirst(), interpreter)
            }
            var passes: (Value) throws -> Bool = { $0.isTrue }
            if !arguments.positional.isEmpty {
                let name = arguments.positional.removeFirst()
                guard let text = name.string else {
                    throw InputError("the name of a test must be a string, not \(name.typeName)")
                }
                guard let test = Tests.named[text] else { throw Tests.unknown(text, line: interpreter.line) }
                passes = { [arguments] in try test($0, arguments, interpreter) }
            }
            return .object(Iterator(try interpreter.items(of: value).filter { try passes(key($0)) == wanted }))
        }
    }

    /// What `map` does to an item: `map(attribute='name', default=…)` or `map('filter', …)`.
    private static func mapper(_ arguments: Arguments, _ interpreter: Interpreter) throws -> (Value) throws -> Value {
        var arguments = arguments
        guard !arguments.positional.isEmpty else {
            let bound = try arguments.bind("attribute", "default", to: "map")
            let key = try attributeGetter(try bound.required(0), interpreter)
            return { item in
                let value = try key(item)
                return value.isUndefined ? bound[1] ?? value : value
            }
        }
        let name = arguments.positional.removeFirst()
        guard let text = name.string else {
            throw InputError("the name of a filter must be a string, not \(name.typeName)")
        }
        guard let filter = named[text] else { throw unknown(text, line: interpreter.line) }
        return { [arguments] item in
            try interpreter.budget.spend(4)
            return try interpreter.budget.deeper { try filter(item, arguments, interpreter) }
        }
    }
}
