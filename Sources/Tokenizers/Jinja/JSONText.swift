import Files
import OrderedCollections

/// Python's `json.dumps`, as transformers' `tojson` calls it.
struct JSONText {
    var indent: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var ensuresASCII = false
    var sortsKeys = false
    let budget: Budget

    /// `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
    static func filter(_ value: Value, _ arguments: Arguments, _ interpreter: Interpreter) throws -> Value {
        let bound = try arguments.bind("ensure_ascii", "indent", "separators", "sort_keys", to: "tojson")
        var writer = JSONText(budget: interpreter.budget)
        writer.ensuresASCII = bound.flag(0)
        writer.sortsKeys = bound.flag(3)
        if let indent = bound[1], !indent.isNone {
            writer.indent =
                try indent.string
                ?? String(
                    repeating: " ", count: NumberFormat.checked(max(0, try bound.integer(1, default: 0))))
            writer.itemSeparator = ","
        }
        if let separators = bound[2], !separators.isNone {
            let pair = try interpreter.items(of: separators)
            guard pair.count == 2, let item = pair[0].string, let key = pair[1].string else {
                throw InputError("the separators of 'tojson' must be two strings")
            }
            (writer.itemSeparator, writer.keySeparator) = (item, key)
        }
        var out = ""
        try writer.write(value, to: &out, depth: 0)
        try interpreter.budget.spend(bytes: out.utf8.count)
        return .string(out)
    }

    private func write(_ value: Value, to out: inout String, depth: Int) throws {
        try budget.spend(1)
        try budget.check(bytes: out.utf8.count)
        switch value {
        case .string(let text), .markup(let text): write(string: text, to: &out)
        case .list(let list), .tuple(let list):
            try write(list.items, "[", "]", to: &out, depth) { try write($0, to: &$1, depth: depth + 1) }
        case .dict(let dict):
            var members = Array(dict.members)
            if sortsKeys { members = try sorted(members) }
            try write(members, "{", "}", to: &out, depth) { member, out in
                write(string: try key(member.key), to: &out)
                out += keySeparator
                try write(member.value, to: &out, depth: depth + 1)
            }
        default: out += try scalar(value)
        }
    }

    private typealias Member = OrderedDictionary<Value, Value>.Element

    private func sorted(_ members: [Member]) throws -> [Member] {
        try members.sorted { try Value.isLess($0.key, $1.key) }
    }

    private func scalar(_ value: Value) throws -> String {
        switch value {
        case .none: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .int(let value): return String(value)
        case .float(let value):
            return value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : value.description
        default: throw value.fault("'tojson' cannot write a \(value.typeName)")
        }
    }

    private func key(_ value: Value) throws -> String {
        if let text = value.string { return text }
        guard case .none = value else {
            guard value.number != nil else { throw InputError("'tojson' cannot write a \(value.typeName) as a key") }
            return try scalar(value)
        }
        return "null"
    }

    private func write<Element>(
        _ elements: [Element], _ open: String, _ close: String, to out: inout String, _ depth: Int,
        each: (Element, inout String) throws -> Void
    ) throws {
        out += open
        for (index, element) in elements.enumerated() {
            if index > 0 { out += itemSeparator }
            writeLineBreak(to: &out, depth + 1)
            try each(element, &out)
        }
        if !elements.isEmpty { writeLineBreak(to: &out, depth) }
        out += close
    }

    private func writeLineBreak(to out: inout String, _ depth: Int) {
        guard let indent else { return }
        out += "\n"
        for _ in 0..<depth { out += indent }
    }

    private func write(string: String, to out: inout String) {
        let isPlain = string.utf8.allSatisfy {
            $0 >= 0x20 && $0 != Ascii.doubleQuote && $0 != Ascii.backslash && (!ensuresASCII || $0 < 0x7F)
        }
        out += "\""
        if isPlain { out += string } else { for scalar in string.unicodeScalars { write(scalar, to: &out) } }
        out += "\""
    }

    private func write(_ scalar: Unicode.Scalar, to out: inout String) {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case "\n": out += "\\n"
        case "\r": out += "\\r"
        case "\t": out += "\\t"
        case "\u{8}": out += "\\b"
        case "\u{c}": out += "\\f"
        case _ where scalar.value < 0x20 || (ensuresASCII && scalar.value > 0x7E):
            for unit in String(Character(scalar)).utf16 {
                let hex = String(unit, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            }
        default: out.unicodeScalars.append(scalar)
        }
    }
}
