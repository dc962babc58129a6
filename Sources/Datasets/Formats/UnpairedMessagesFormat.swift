import Files

/// A conversation whose last answer has a label: `{"messages": […], "label": true | false, "tools"?}`.
enum UnpairedMessagesFormat: RowFormat {
    static let name = "unpaired_messages"
    static let purposes: Set<RowPurpose> = [.labels]
    static let requiredKeys = ["messages", "label"]
    static let optionalKeys = ["tools"]

    static func row(from object: JSON) throws -> Row {
        let isDesirable = try UnpairedFormat.label(object)
        let messages = try MessagesFormat.messages(in: object, key: "messages")
        guard messages.count >= 2, let last = messages.last, last.isAssistant else {
            throw InputError("ends without an assistant's answer to anything", place: "messages")
        }
        return .labelled(
            prompt: .conversation(Conversation(Array(messages.dropLast()), tools: try object.toolsColumn())),
            answer: .messages([last]), isDesirable: isDesirable)
    }
}
