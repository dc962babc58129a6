import Files

/// Prompts to be answered: `{"prompt"}`, a text or a list of messages (and `tools`?), with `reference`? for rewards that compare.
enum PromptFormat: RowFormat {
    static let name = "prompt"
    static let purposes: Set<RowPurpose> = [.prompts]
    static let requiredKeys = ["prompt"]
    static let optionalKeys = ["tools", "reference"]

    static func row(from object: JSON) throws -> Row {
        let reference = try object["reference"].map { _ in try object.requiredString("reference") }
        guard object["prompt"]?.array != nil else {
            return .prompt(.text(try object.requiredString("prompt")), reference: reference)
        }
        let messages = try MessagesFormat.messages(in: object, key: "prompt")
        return .prompt(.conversation(Conversation(messages, tools: try object.toolsColumn())), reference: reference)
    }
}
