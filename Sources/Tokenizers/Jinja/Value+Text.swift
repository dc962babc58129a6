import Files

extension Value {
    /// `str(value)`: what `{{ value }}` prints.
    func text(_ budget: Budget) throws -> String {
        switch self {
        case .undefined: return ""
        case .string(let text), .markup(let text): return text
        case .list, .tuple, .dict:
            var out = ""
            try writeRepresentation(to: &out, budget)
            return out
        default: return scalarText
        }
    }

    /// `repr(value)`.
    func representation(_ budget: Budget) throws -> String {
        var out = ""
        try writeRepresentation(to: &out, budget)
        return out
    }

    private var scalarText: String {
        switch self {
        case .none: "None"
        case .bool(let value): value ? "True" : "False"
        case .int(let value): String(value)
        case .float(let value): Self.floatText(value)
        case .object(let object): object.text
        default: ""
        }
    }

    /// A float as Python prints it.
    static func floatText(_ value: Double) -> String {
        value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : value.description
    }

    private func writeRepresentation(to out: inout String, _ budget: Budget) throws {
        try budget.spend(1)
        try budget.check(bytes: out.utf8.count)
        switch self {
        case .string(let text), .markup(let text):
            try budget.spend(bytes: text.utf8.count)
            out += PythonText.quoted(text)
        case .undefined: out += "Undefined"
        case .list(let list): try Self.write(list.items, "[", "]", to: &out, budget)
        case .tuple(let list): try Self.write(list.items, "(", list.items.count == 1 ? ",)" : ")", to: &out, budget)
        case .dict(let dict):
            out += "{"
            for (index, member) in dict.members.enumerated() {
                if index > 0 { out += ", " }
                try member.key.writeRepresentation(to: &out, budget)
                out += ": "
                try member.value.writeRepresentation(to: &out, budget)
            }
            out += "}"
        default: out += scalarText
        }
    }

    private static func write(
        _ items: [Value], _ open: String, _ close: String, to out: inout String, _ budget: Budget
    ) throws {
        out += open
        for (index, item) in items.enumerated() {
            if index > 0 { out += ", " }
            try item.writeRepresentation(to: &out, budget)
        }
        out += close
    }
}
