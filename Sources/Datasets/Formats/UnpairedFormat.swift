import Files

/// TRL's unpaired preferences: `{"prompt", "completion", "label": true | false, "tools"?}`, two texts or two lists of messages.
enum UnpairedFormat: RowFormat {
    static let name = "unpaired"
    static let purposes: Set<RowPurpose> = [.labels]
    static let requiredKeys = ["prompt", "completion", "label"]
    static let optionalKeys = ["tools"]

    static func row(from object: JSON) throws -> Row {
        let isDesirable = try label(object)
        switch try PromptCompletionFormat.row(from: object) {
        case .chatCompletion(let prompt, let completion):
            try ImplicitPrompt.checkAnswer(completion, "completion")
            return .labelled(
                prompt: .conversation(prompt), answer: .messages(completion), isDesirable: isDesirable)
        case .promptCompletion(let prompt, let completion):
            return .labelled(prompt: .text(prompt), answer: .text(completion), isDesirable: isDesirable)
        case let row: preconditionFailure("a \(row.kind) row of prompt and completion")
        }
    }

    /// The label: true or false, or 1 or 0.
    static func label(_ object: JSON) throws -> Bool {
        let value = object["label"] ?? .null
        if let label = value.bool { return label }
        if let number = value.integer, number == 0 || number == 1 { return number == 1 }
        throw InputError("is \(value.kind), expected true or false", place: "label")
    }
}
