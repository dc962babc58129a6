import Files

/// `'{} and {name:>5}'.format(…)`: fields by position or name, with Python's format specification for strings and numbers.
enum BraceFormat {
    static func format(_ text: String, _ arguments: Arguments, _ interpreter: Interpreter) throws -> String {
        var out = ""
        var automatic = 0
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "{" || scalar == "}" else {
                out.unicodeScalars.append(scalar)
                continue
            }
            if rest.first == scalar {
                rest.removeFirst()
                out.unicodeScalars.append(scalar)
                continue
            }
            let field = rest.prefix { $0 != "}" && $0 != "{" }
            rest = rest[field.endIndex...]
            guard scalar == "{", rest.popFirst() == "}" else { throw InputError("a single '{' or '}' in a format") }
            out += try self.field(String(field), arguments, &automatic, interpreter)
            try interpreter.budget.check(bytes: out.utf8.count)
        }
        try interpreter.budget.spend(bytes: out.utf8.count)
        return out
    }

    private static func field(
        _ field: String, _ arguments: Arguments, _ automatic: inout Int, _ interpreter: Interpreter
    ) throws -> String {
        let parts = field.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let nameParts = parts[0].split(separator: "!", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        var path = nameParts[0].split(separator: ".", omittingEmptySubsequences: false).map(String.init)[...]
        let name = path.popFirst() ?? ""
        var value: Value?
        if name.isEmpty {
            value = arguments.positional.at(automatic)
            automatic += 1
        } else if let position = Int(name), position >= 0 {
            value = arguments.positional.at(position)
        } else {
            value = arguments.keyword.first { $0.name == name }?.value
        }
        guard var value else { throw InputError("the format's field '{\(field.prefix(60))}' has no value") }
        for attribute in path { value = try interpreter.attribute(attribute, of: value) }
        if nameParts.count == 2 {
            guard nameParts[1] == "s" || nameParts[1] == "r" else {
                throw InputError("unknown conversion '!\(nameParts[1])'")
            }
            value = .string(
                try nameParts[1] == "r" ? value.representation(interpreter.budget) : value.text(interpreter.budget))
        }
        return try apply(parts.count == 2 ? parts[1] : "", to: value, interpreter)
    }

    /// `[[fill]align][sign][0][width][,][.precision][type]`.
    private static func apply(_ specification: String, to value: Value, _ interpreter: Interpreter) throws -> String {
        guard !specification.isEmpty else { return try value.text(interpreter.budget) }
        var rest = Array(specification)[...]
        var fill = " "
        var align: Character?
        if rest.count > 1, "<>^=".contains(rest[rest.startIndex + 1]) {
            fill = String(rest.removeFirst())
            align = rest.removeFirst()
        } else if let first = rest.first, "<>^=".contains(first) {
            align = rest.removeFirst()
        }
        let plus = rest.first == "+"
        if let first = rest.first, "+- ".contains(first) { rest.removeFirst() }
        if rest.first == "0" {
            if align == nil { (fill, align) = ("0", "=") }
            rest.removeFirst()
        }
        let width = try number(&rest) ?? 0
        let groups = rest.first == ","
        if groups { rest.removeFirst() }
        var precision: Int?
        if rest.first == "." {
            rest.removeFirst()
            precision = try number(&rest)
        }
        let form = rest.popFirst()
        guard rest.isEmpty else { throw InputError("unknown format specification '\(specification.prefix(60))'") }
        var text = try convert(value, form, precision, interpreter)
        let isNumber = value.number != nil
        if plus && isNumber && !text.hasPrefix("-") { text = "+" + text }
        if groups && isNumber { text = NumberFormat.grouped(text) }
        return NumberFormat.padded(text, width: width, align: align ?? (isNumber ? ">" : "<"), fill: fill)
    }

    private static func number(_ rest: inout ArraySlice<Character>) throws -> Int? {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        rest = rest[digits.endIndex...]
        return digits.isEmpty ? nil : try NumberFormat.checked(Int(String(digits)) ?? .max)
    }

    private static func convert(
        _ value: Value, _ form: Character?, _ precision: Int?, _ interpreter: Interpreter
    ) throws -> String {
        switch form {
        case nil, "s":
            if form == nil, let precision, let number = value.number {
                return NumberFormat.text(number, "g", precision: precision)
            }
            let text = try value.text(interpreter.budget)
            return precision.map { String(String.UnicodeScalarView(text.unicodeScalars.prefix($0))) } ?? text
        case "d", "x", "X", "o", "b":
            guard let form, let number = value.integer else { break }
            return NumberFormat.integer(number, form)
        case "f", "F", "e", "E", "g", "G":
            guard let form, let number = value.number else { break }
            return NumberFormat.text(number, form, precision: precision ?? 6)
        case "%":
            guard let number = value.number else { break }
            return NumberFormat.text(number * 100, "f", precision: precision ?? 6) + "%"
        default: break
        }
        throw value.fault("the format '\(form.map(String.init) ?? "")' does not fit \(value.typeName)")
    }
}
