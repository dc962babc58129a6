extension JSON {
    /// How a value is laid out as text.
    public enum Layout: Sendable {
        /// No white space: `{"a":1,"b":[2,3]}`. One line of a `.jsonl` file.
        case compact
        /// Python's `json.dumps(value)`: `{"a": 1, "b": [2, 3]}`. What chat templates' `tojson` writes.
        case spaced
        /// Python's `json.dumps(value, indent=n)`, keys in order or sorted. What PEFT and transformers write.
        case indented(Int, sortedKeys: Bool = false)
    }

    /// The value as text.
    ///
    /// Strings are written as they are, with only `"`, `\` and control characters escaped. A number that is not finite is written
    /// as Python writes it (`NaN`, `Infinity`), which Python and json-c read.
    public func text(_ layout: Layout = .compact) -> String {
        var out = ""
        write(to: &out, layout, depth: 0)
        return out
    }

    private func write(to out: inout String, _ layout: Layout, depth: Int) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .integer(let value): out += String(value)
        case .number(let value):
            out += value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : "\(value)"
        case .string(let value): Self.write(string: value, to: &out)
        case .array(let elements):
            Self.write(elements, "[", "]", to: &out, layout, depth) { $0.write(to: &$1, layout, depth: depth + 1) }
        case .object(let members):
            var pairs = members.map { ($0.key, $0.value) }
            if case .indented(_, sortedKeys: true) = layout { pairs.sort { $0.0 < $1.0 } }
            Self.write(pairs, "{", "}", to: &out, layout, depth) { pair, out in
                Self.write(string: pair.0, to: &out)
                if case .compact = layout { out += ":" } else { out += ": " }
                pair.1.write(to: &out, layout, depth: depth + 1)
            }
        }
    }

    private static func write<Element>(
        _ elements: [Element], _ open: String, _ close: String, to out: inout String, _ layout: Layout, _ depth: Int,
        each: (Element, inout String) -> Void
    ) {
        out += open
        for (index, element) in elements.enumerated() {
            switch layout {
            case .compact: out += index == 0 ? "" : ","
            case .spaced: out += index == 0 ? "" : ", "
            case .indented(let width, _):
                out += (index == 0 ? "\n" : ",\n") + String(repeating: " ", count: width * (depth + 1))
            }
            each(element, &out)
        }
        if case .indented(let width, _) = layout, !elements.isEmpty {
            out += "\n" + String(repeating: " ", count: width * depth)
        }
        out += close
    }

    private static func write(string: String, to out: inout String) {
        out += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{8}": out += "\\b"
            case "\u{c}": out += "\\f"
            case "\u{0}"..<"\u{20}":
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        out += "\""
    }
}
