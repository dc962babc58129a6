import Files
import Glibc

/// Numbers as C and Python format them.
enum NumberFormat {
    /// A number in C's `f`, `e` or `g` form.
    static func text(_ value: Double, _ form: Character, precision: Int) -> String {
        guard value.isFinite else { return Value.floatText(value) }
        var buffer = [CChar](repeating: 0, count: 400 + precision)
        _ = withVaList([Int32(precision), value]) { vsnprintf(&buffer, buffer.count, "%.*\(form)", $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `round(value, digits)`: to the nearest, ties of the decimal expansion to even.
    static func rounded(_ value: Double, digits: Int) -> Double {
        guard value.isFinite, digits < 300 else { return value }
        if digits >= 0 { return Double(text(value, "f", precision: digits)) ?? value }
        let scale = pow(10, Double(-digits))
        return scale.isFinite ? (value / scale).rounded(.toNearestOrEven) * scale : 0
    }

    /// The width and precision that a format may ask for.
    static func checked(_ number: Int) throws -> Int {
        guard (0...100_000).contains(number) else { throw InputError("a width or precision in a format is too large") }
        return number
    }

    /// A field padded to a width: `<` to the left, `>` to the right, `^` in the middle, `=` after the sign.
    static func padded(_ text: String, width: Int, align: Character, fill: String) -> String {
        let missing = width - text.unicodeScalars.count
        guard missing > 0 else { return text }
        func filler(_ count: Int) -> String { String(repeating: fill, count: count) }
        switch align {
        case "<": return text + filler(missing)
        case "^": return filler(missing / 2) + text + filler(missing - missing / 2)
        case "=" where text.hasPrefix("-") || text.hasPrefix("+"):
            return String(text.prefix(1)) + filler(missing) + text.dropFirst()
        default: return filler(missing) + text
        }
    }

    /// Digits in threes.
    static func grouped(_ text: String) -> String {
        let end = text.firstIndex { !$0.isNumber && $0 != "-" && $0 != "+" } ?? text.endIndex
        let sign = text.prefix { $0 == "-" || $0 == "+" }
        let digits = Array(text[sign.endIndex..<end])
        var out = String(sign)
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { out += "," }
            out.append(digit)
        }
        return out + text[end...]
    }

    /// An integer in a base, in upper case if asked.
    static func integer(_ value: Int, _ form: Character) -> String {
        switch form {
        case "x": String(value, radix: 16)
        case "X": String(value, radix: 16, uppercase: true)
        case "o": String(value, radix: 8)
        case "b": String(value, radix: 2)
        default: String(value)
        }
    }
}

/// `'%s and %d' % values`, and the `format` filter.
enum PercentFormat {
    static func format(_ text: String, _ values: Value, _ interpreter: Interpreter) throws -> String {
        var positional: ArraySlice<Value> = []
        var named: DictValue?
        switch values {
        case .tuple(let list): positional = list.items[...]
        case .dict(let dict):
            named = dict
            positional = [values]
        default: positional = [values]
        }
        let result = try format(text, &positional, named, interpreter)
        guard positional.isEmpty || named != nil else {
            throw InputError("'%' has more values than its text has places")
        }
        return result
    }

    private static func format(
        _ text: String, _ positional: inout ArraySlice<Value>, _ named: DictValue?, _ interpreter: Interpreter
    ) throws -> String {
        var out = ""
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                out.unicodeScalars.append(scalar)
                continue
            }
            var key: String?
            if rest.first == "(" {
                key = String(rest.dropFirst().prefix { $0 != ")" })
                rest = rest.drop { $0 != ")" }.dropFirst()
            }
            let flags = rest.prefix { "-+ 0#".unicodeScalars.contains($0) }
            rest = rest[flags.endIndex...]
            let width = try readNumber(&rest) ?? 0
            var precision: Int?
            if rest.first == "." {
                rest.removeFirst()
                precision = try readNumber(&rest) ?? 0
            }
            guard let form = rest.popFirst() else { throw InputError("a format ends in the middle of a '%'") }
            if form == "%" {
                out += "%"
                continue
            }
            let value = try take(key, &positional, named)
            let field = try convert(value, Character(form), precision, plus: flags.contains("+"), interpreter)
            let isNumber = value.number != nil && form != "s" && form != "r"
            out +=
                flags.contains("-")
                ? NumberFormat.padded(field, width: width, align: "<", fill: " ")
                : NumberFormat.padded(
                    field, width: width, align: "=", fill: flags.contains("0") && isNumber ? "0" : " ")
            try interpreter.budget.check(bytes: out.utf8.count)
        }
        try interpreter.budget.spend(bytes: out.utf8.count)
        return out
    }

    private static func readNumber(_ rest: inout Substring.UnicodeScalarView) throws -> Int? {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        rest = rest[digits.endIndex...]
        return digits.isEmpty ? nil : try NumberFormat.checked(Int(String(digits)) ?? .max)
    }

    private static func take(_ key: String?, _ positional: inout ArraySlice<Value>, _ named: DictValue?) throws -> Value
    {
        if let key {
            guard let value = named?[key] else { throw InputError("the format's '\(key)' is not among its values") }
            return value
        }
        guard let value = positional.popFirst() else { throw InputError("the format has more places than values") }
        return value
    }

    private static func convert(
        _ value: Value, _ form: Character, _ precision: Int?, plus: Bool, _ interpreter: Interpreter
    ) throws -> String {
        func signed(_ text: String) -> String { plus && !text.hasPrefix("-") ? "+" + text : text }
        switch form {
        case "s":
            let text = try value.text(interpreter.budget)
            return precision.map { String(String.UnicodeScalarView(text.unicodeScalars.prefix($0))) } ?? text
        case "r": return try value.representation(interpreter.budget)
        case "d", "i", "u", "x", "X", "o":
            guard let number = value.integer ?? value.number.flatMap({ Int(exactly: $0.rounded(.towardZero)) }) else {
                throw value.fault("'%\(form)' needs a number, not \(value.typeName)")
            }
            return signed(NumberFormat.integer(number, form))
        case "f", "F", "e", "E", "g", "G":
            guard let number = value.number else {
                throw value.fault("'%\(form)' needs a number, not \(value.typeName)")
            }
            return signed(NumberFormat.text(number, form, precision: precision ?? 6))
        default: throw InputError("unknown format '%\(form)'")
        }
    }
}
