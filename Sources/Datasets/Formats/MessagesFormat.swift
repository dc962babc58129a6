import Files

/// OpenAI's shape: `{"messages": [{"role", "content", "tool_calls"?, "train"?, …}, …], "tools"?: [...]}`.
///
/// `"train": false` (or OpenAI's `"weight": 0`) keeps a message as context only.
enum MessagesFormat: RowFormat {
    static let name = "messages"
    static let requiredKeys = ["messages"]
    static let optionalKeys = ["tools"]

    static func row(from object: JSON) throws -> Row {
        .messages(Conversation(try messages(in: object, key: "messages"), tools: try object.toolsColumn()))
    }

    /// The messages under a key of the row.
    static func messages(in object: JSON, key: String) throws -> [Message] {
        try object.requiredList(key).enumerated().map { try message($1, at: "\(key)[\($0)]") }
    }

    private static func message(_ value: JSON, at path: String) throws -> Message {
        let role = try value.requiredString("role", at: path)
        guard Message.knownRoles.contains(role) else {
            let meant = ShareGPTFormat.roles[role] ?? nearestName(to: role, among: Message.knownRoles)
            let nearest = meant.map { "Did you mean \"\($0)\"? " } ?? ""
            throw InputError(
                "unknown role \"\(role.prefix(60))\"", place: path + ".role",
                hint: nearest + "Roles: \(Message.knownRoles.joined(separator: ", "))")
        }
        let calls = try toolCalls(value, at: path)
        var extra: JSON = [:]
        for (key, member) in value.object ?? [:]
        where !["role", "content", "tool_calls", "train", "weight"].contains(key) {
            extra = extra.setting(key, to: member)
        }
        return Message(
            role: role, content: try content(value, hasCalls: calls != nil, at: path), toolCalls: calls, extra: extra,
            train: try trainFlag(value, at: path))
    }

    private static func content(_ value: JSON, hasCalls: Bool, at path: String) throws -> JSON {
        switch value["content"] {
        case .some(let content) where content.string != nil || content.array != nil: return content
        case .some(let other):
            throw InputError("is \(other.kind), expected a string or a list of parts", place: path + ".content")
        case nil where hasCalls: return .null
        case nil:
            let near = nearestName(to: "content", among: (value.object ?? [:]).keys)
            throw InputError(
                "the key \"content\" is missing or null", place: path,
                hint: near.map { "Did you mean it by \"\($0)\"?" })
        }
    }

    private static func toolCalls(_ value: JSON, at path: String) throws -> JSON? {
        guard let calls = value["tool_calls"] else { return nil }
        guard let list = calls.array else {
            throw InputError("is \(calls.kind), expected a list", place: path + ".tool_calls")
        }
        return list.isEmpty ? nil : calls
    }

    private static func trainFlag(_ value: JSON, at path: String) throws -> Bool {
        guard let flag = value["train"] else { return try weightFlag(value, at: path) }
        guard let train = flag.bool else {
            throw InputError("is \(flag.kind), expected true or false", place: path + ".train")
        }
        return train
    }

    /// OpenAI's name for the same: `"weight": 0` or 1.
    private static func weightFlag(_ value: JSON, at path: String) throws -> Bool {
        guard let weight = value["weight"] else { return true }
        guard let number = weight.integer, number == 0 || number == 1 else {
            throw InputError("expected 0 or 1", place: path + ".weight")
        }
        return number == 1
    }
}
