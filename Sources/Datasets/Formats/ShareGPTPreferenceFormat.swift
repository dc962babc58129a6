import Files

/// ShareGPT's pairs: `{"conversations": [{"from", "value"}, …], "chosen": {"from", "value"}, "rejected": {…}, "system"?, "tools"?}`.
enum ShareGPTPreferenceFormat: RowFormat {
    static let name = "sharegpt_preference"
    static let purposes: Set<RowPurpose> = [.pairs, .labels]
    static let requiredKeys = ["conversations", "chosen", "rejected"]
    static let optionalKeys = ["system", "tools", "margin"]

    static func row(from object: JSON) throws -> Row {
        guard case .messages(let prompt) = try ShareGPTFormat.row(from: object) else {
            throw InputError("holds no conversation", place: "conversations")
        }
        return .pair(
            prompt: .conversation(prompt), chosen: try answer(object, "chosen"),
            rejected: try answer(object, "rejected"),
            margin: try PreferenceFormat.margin(object))
    }

    /// One turn, or a list of them.
    private static func answer(_ object: JSON, _ key: String) throws -> Answer {
        let value = object[key] ?? .null
        let turns = value.array ?? [value]
        let messages = try turns.enumerated().map { index, turn in
            try ShareGPTFormat.message(turn, at: value.array == nil ? key : "\(key)[\(index)]")
        }
        try ImplicitPrompt.checkAnswer(messages, key)
        return .messages(messages)
    }
}
