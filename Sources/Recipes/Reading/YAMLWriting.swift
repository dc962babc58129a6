/// Writes a value on one line, so that reading it back gives the same value.
func yamlText(_ content: RecipeNode.Content) -> String {
    switch content {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): yamlWord(value)
    case .list(let items): "[" + items.map { yamlText($0.content) }.joined(separator: ", ") + "]"
    case .mapping(let entries) where entries.isEmpty: "{}"
    case .mapping(let entries):
        "{ " + entries.map { yamlWord($0.key) + ": " + yamlText($0.value.content) }.joined(separator: ", ") + " }"
    }
}

/// A text as it stands where only ordinary letters are in it and it would not be taken for something else; in quotes otherwise.
private func yamlWord(_ text: String) -> String {
    let isOrdinary = text.utf8.allSatisfy {
        ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || "_-./".utf8.contains($0)
    }
    if isOrdinary, !text.hasPrefix("-"), case .string = plainScalar(text) { return text }
    return "\"" + text.unicodeScalars.map(yamlEscape).joined() + "\""
}

/// One character inside double quotes. What YAML does not allow unescaped is written as a code point.
private func yamlEscape(_ scalar: Unicode.Scalar) -> String {
    switch scalar.value {
    case 0x22: "\\\""
    case 0x5C: "\\\\"
    case 0x0A: "\\n"
    case 0x09: "\\t"
    case 0x20...0x7E, 0xA0...0x2027, 0x202A...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD: String(scalar)
    default:
        "\\U" + String(repeating: "0", count: 8 - String(scalar.value, radix: 16).count)
            + String(scalar.value, radix: 16)
    }
}
