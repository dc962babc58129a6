import Files

/// TRL's `{"prompt", "completion"}`: two strings, or two lists of messages (and `tools`?).
enum PromptCompletionFormat: RowFormat {
    static let name = "prompt_completion"
    static let requiredKeys = ["prompt", "completion"]
    static let optionalKeys = ["tools"]

    static func row(from object: JSON) throws -> Row {
        switch (object["prompt"] ?? .null, object["completion"] ?? .null) {
        case (.string(let prompt), .string(let completion)):
            return .promptCompletion(prompt: prompt, completion: completion)
        case (.array, .array):
            let prompt = try MessagesFormat.messages(in: object, key: "prompt")
            let completion = try MessagesFormat.messages(in: object, key: "completion")
            return .chatCompletion(
                prompt: Conversation(prompt, tools: try object.toolsColumn()), completion: completion)
        case (let prompt, let completion):
            throw InputError(
                "\"prompt\" is \(prompt.kind) and \"completion\" is \(completion.kind), expected two strings or two "
                    + "lists of messages")
        }
    }
}
