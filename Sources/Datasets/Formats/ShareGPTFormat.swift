import Files

/// ShareGPT's shape: `{"conversations": [{"from", "value"}, …], "system"?, "tools"?}`.
///
/// `function_call` holds the call as JSON text (`{"name", "arguments"}`, or a list of those) and becomes an assistant message with
/// `tool_calls`; `observation` is the tool's answer.
enum ShareGPTFormat: RowFormat {
    static let name = "sharegpt"
    static let requiredKeys = ["conversations"]
    static let optionalKeys = ["system", "tools"]

    /// What each `from` means.
    static let roles = [
        "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system",
        "function_call": "assistant", "observation": "tool", "tool": "tool", "function_response": "tool",
    ]

    static func row(from object: JSON) throws -> Row {
        let turns = try object.requiredList("conversations")
        // Some sets keep role/content under this name.
        if turns.allSatisfy({ $0["from"] == nil && $0["role"] != nil }) {
            let messages = try MessagesFormat.messages(in: object, key: "conversations")
            return .messages(Conversation(messages, tools: try object.toolsColumn()))
        }
        var messages = try turns.enumerated().map { try message($1, at: "conversations[\($0)]") }
        if let system = try object.optionalString("system"), !system.isEmpty, messages.first?.role != "system" {
            messages.insert(Message(role: "system", content: .string(system)), at: 0)
        }
        return .messages(Conversation(messages, tools: try object.toolsColumn()))
    }

    static func message(_ turn: JSON, at path: String) throws -> Message {
        let from = try turn.requiredString("from", at: path)
        guard let role = roles[from] else {
            let names = roles.keys.sorted()
            let nearest = nearestName(to: from, among: names).map { "Did you mean \"\($0)\"? " } ?? ""
            throw InputError(
                "unknown speaker \"\(from.prefix(60))\"", place: path + ".from",
                hint: nearest + "Speakers: \(names.joined(separator: ", "))")
        }
        let value = try turn.requiredString("value", at: path)
        var train = true
        if let flag = turn["train"] {
            guard let value = flag.bool else {
                throw InputError("is \(flag.kind), expected true or false", place: path + ".train")
            }
            train = value
        }
        guard from == "function_call" else { return Message(role: role, content: .string(value), train: train) }
        return Message(role: role, content: .null, toolCalls: try calls(value, at: path + ".value"), train: train)
    }

    private static func calls(_ text: String, at path: String) throws -> JSON {
        let parsed: JSON
        do {
            parsed = try JSON(parsing: text)
        } catch let error as InputError {
            throw InputError(
                "a function_call must be JSON ({\"name\": …, \"arguments\": {…}}): \(error.message)", place: path)
        }
        return .array(
            try (parsed.array ?? [parsed]).map { call in
                guard let name = call["name"]?.string else {
                    throw InputError("a function_call without \"name\"", place: path)
                }
                let arguments = call["arguments"] ?? .object([:])
                return ["type": "function", "function": ["name": .string(name), "arguments": arguments]]
            })
    }
}
