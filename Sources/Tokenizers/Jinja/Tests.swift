import Files

/// A test: whether something holds of a value.
typealias TestFunction = @Sendable (Value, Arguments, Interpreter) throws -> Bool

/// The tests of `value is name`.
enum Tests {
    static let named: [String: TestFunction] = [
        "defined": { value, _, _ in !value.isUndefined },
        "undefined": { value, _, _ in value.isUndefined },
        "none": { value, _, _ in value.isNone },
        "boolean": { value, _, _ in if case .bool = value { true } else { false } },
        "true": { value, _, _ in if case .bool(true) = value { true } else { false } },
        "false": { value, _, _ in if case .bool(false) = value { true } else { false } },
        "integer": { value, _, _ in if case .int = value { true } else { false } },
        "float": { value, _, _ in if case .float = value { true } else { false } },
        "number": { value, _, _ in value.number != nil },
        "string": { value, _, _ in value.string != nil },
        "mapping": { value, _, _ in if case .dict = value { true } else { false } },
        "sequence": { value, _, _ in isSequence(value) },
        "iterable": { value, _, _ in isSequence(value) || isIterator(value) },
        "callable": { value, _, _ in if case .object(let object) = value { object is CallableValue } else { false } },
        "escaped": { value, _, _ in if case .markup = value { true } else { false } },
        "odd": { value, _, _ in try remainder(value, .int(2), "odd") == 1 },
        "even": { value, _, _ in try remainder(value, .int(2), "even") == 0 },
        "divisibleby": { value, arguments, _ in
            try remainder(value, try arguments.bind("num", to: "divisibleby").required(0), "divisibleby") == 0
        },
        "lower": { value, _, interpreter in
            StringCase.isLower(try value.text(interpreter.budget))
        },
        "upper": { value, _, interpreter in
            StringCase.isUpper(try value.text(interpreter.budget))
        },
        "sameas": { value, arguments, _ in isSame(value, try arguments.bind("other", to: "sameas").required(0)) },
        "in": { value, arguments, interpreter in
            try Operators.contains(try arguments.bind("seq", to: "in").required(0), value, interpreter)
        },
        "filter": { value, _, _ in value.string.map { Filters.named[$0] != nil } ?? false },
        "test": { value, _, _ in value.string.map { Tests.exists($0) } ?? false },
        "eq": comparing(.equal), "equalto": comparing(.equal), "==": comparing(.equal),
        "ne": comparing(.notEqual), "!=": comparing(.notEqual),
        "lt": comparing(.less), "lessthan": comparing(.less), "<": comparing(.less),
        "le": comparing(.lessOrEqual), "<=": comparing(.lessOrEqual),
        "gt": comparing(.greater), "greaterthan": comparing(.greater), ">": comparing(.greater),
        "ge": comparing(.greaterOrEqual), ">=": comparing(.greaterOrEqual),
    ]

    private static func exists(_ name: String) -> Bool { named[name] != nil }

    /// The error for a test that does not exist.
    static func unknown(_ name: String, line: Int) -> InputError {
        let nearest = nearestName(to: name, among: named.keys.sorted())
        return InputError(
            "unknown test '\(name.prefix(60))'", place: "line \(line)", hint: nearest.map { "Did you mean '\($0)'?" })
    }

    private static func comparing(_ operation: Comparison) -> TestFunction {
        { value, arguments, interpreter in
            try Operators.compare(
                operation, value, try arguments.bind("other", to: operation.rawValue).required(0), interpreter)
        }
    }

    /// What has a length and items; something undefined is an empty sequence.
    private static func isSequence(_ value: Value) -> Bool {
        switch value {
        case .undefined, .string, .markup, .list, .tuple, .dict: true
        default: false
        }
    }

    private static func isIterator(_ value: Value) -> Bool {
        if case .object(let object) = value { object is Iterator } else { false }
    }

    private static func remainder(_ value: Value, _ divisor: Value, _ test: String) throws -> Double {
        guard let number = value.number, let by = divisor.number else {
            throw value.fault("'is \(test)' needs numbers, not \(value.typeName)")
        }
        guard by != 0 else { throw InputError("division by zero") }
        return abs(number.truncatingRemainder(dividingBy: by))
    }

    private static func isSame(_ a: Value, _ b: Value) -> Bool {
        switch (a, b) {
        case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)): x === y
        case (.dict(let x), .dict(let y)): x === y
        case (.bool(let x), .bool(let y)): x == y
        case (.bool, _), (_, .bool): false
        default: a.typeName == b.typeName && a == b
        }
    }
}

/// Whether all cased characters of a text have one case, and there is one.
enum StringCase {
    static func isUpper(_ text: String) -> Bool {
        text == text.uppercased() && text.unicodeScalars.contains(where: \.properties.isUppercase)
    }
    static func isLower(_ text: String) -> Bool {
        text == text.lowercased() && text.unicodeScalars.contains(where: \.properties.isLowercase)
    }
}
