import Files

/// Prompts to be answered: `{"prompt"}`, a text or a list of messages (and `tools`?).
enum PromptFormat: RowFormat {
    static let name = "prompt"
    static let purposes: Set<RowPurpose> = [.prompts]
    static let requiredKeys = ["prompt"]
    static let optionalKeys = ["tools"]

    static func row(from object: JSON) throws -> Row {
        if object["prompt"]?.array == nil { return .prompt(.text(try object.requiredString("prompt"))) }
        let messages = try MessagesFormat.messages(in: object, key: "prompt")
        return .prompt(.conversation(Conversation(messages, tools: try object.toolsColumn())))
    }
}
