import Files

/// A filter: a value in, a value out.
typealias FilterFunction = @Sendable (Value, Arguments, Interpreter) throws -> Value

/// The filters of `value|name(…)`, by name; each group is in a file of its own.
enum Filters {
    static let named: [String: FilterFunction] =
        ofText.merging(ofNumbers) { $1 }.merging(ofSequences) { $1 }.merging(ofSelection) { $1 }

    /// The error for a filter that does not exist.
    static func unknown(_ name: String, line: Int) -> InputError {
        let nearest = nearestName(to: name, among: named.keys.sorted())
        return InputError(
            "unknown filter '\(name.prefix(60))'", place: "line \(line)", hint: nearest.map { "Did you mean '\($0)'?" })
    }

    static let ofNumbers: [String: FilterFunction] = [
        "abs": { value, _, _ in
            guard case .float(let number) = value else {
                guard let number = value.integer else {
                    throw value.fault("'abs' needs a number, not \(value.typeName)")
                }
                return number < 0 ? try Operators.negate(.int(number)) : .int(number)
            }
            return .float(abs(number))
        },
        "int": { value, arguments, _ in
            let bound = try arguments.bind("default", "base", to: "int")
            return integer(value, base: try bound.integer(1, default: 10)) ?? bound[0] ?? .int(0)
        },
        "float": { value, arguments, _ in
            let standard = try arguments.bind("default", to: "float")[0] ?? .float(0)
            return (value.number ?? value.string.flatMap(parseFloat)).map(Value.float) ?? standard
        },
        "round": { value, arguments, _ in
            let bound = try arguments.bind("precision", "method", to: "round")
            return try round(value, try bound.integer(0, default: 0), try bound.string(1, default: "common"))
        },
    ]

    private static func integer(_ value: Value, base: Int) -> Value? {
        if let number = value.integer { return .int(number) }
        if case .float(let number) = value { return Int(exactly: number.rounded(.towardZero)).map(Value.int) }
        guard let text = value.string, (2...36).contains(base) else { return nil }
        let digits = PythonText.strip(text)
        if let number = Int(digits.filter { $0 != "_" }, radix: base) { return .int(number) }
        return parseFloat(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map(Value.int)
    }

    private static func parseFloat(_ text: String) -> Double? {
        let digits = PythonText.strip(text).lowercased()
        // Swift also reads hexadecimal floats, which Python's `float` does not.
        return digits.contains("x") || digits.contains("p") ? nil : Double(digits)
    }

    private static func round(_ value: Value, _ precision: Int, _ method: String) throws -> Value {
        if let number = value.integer, method == "common", precision >= 0 { return .int(number) }
        guard let number = value.number else { throw value.fault("'round' needs a number, not \(value.typeName)") }
        guard (-300...300).contains(precision) else { throw InputError("the precision of 'round' is too large") }
        let scale = Double("1e\(precision)") ?? 1
        switch method {
        case "common":
            let result = NumberFormat.rounded(number, digits: precision)
            return value.integer == nil ? .float(result) : Int(exactly: result).map(Value.int) ?? .float(result)
        case "ceil": return .float((number * scale).rounded(.up) / scale)
        case "floor": return .float((number * scale).rounded(.down) / scale)
        default: throw InputError("'round' knows the methods common, ceil and floor, not '\(method.prefix(40))'")
        }
    }
}
