import Files

/// TRL's pairs: `{"prompt"?, "chosen", "rejected", "margin"?, "tools"?}`, all texts or all lists of messages.
///
/// Without `prompt` the answers hold it: it is what both begin with.
enum PreferenceFormat: RowFormat {
    static let name = "preference"
    static let purposes: Set<RowPurpose> = [.pairs, .labels]
    static let requiredKeys = ["chosen", "rejected"]
    static let optionalKeys = ["prompt", "margin", "tools"]

    static func row(from object: JSON) throws -> Row {
        let margin = try margin(object)
        let prompt = object["prompt"] ?? .null
        switch (prompt, object["chosen"] ?? .null, object["rejected"] ?? .null) {
        case (.string(let prompt), .string(let chosen), .string(let rejected)):
            return .pair(prompt: .text(prompt), chosen: .text(chosen), rejected: .text(rejected), margin: margin)
        case (.null, .string(let chosen), .string(let rejected)):
            let prompt = ImplicitPrompt.length(chosen, rejected)
            func parts(_ text: String) -> (prompt: String, answer: String) {
                let scalars = text.unicodeScalars
                let end = scalars.index(scalars.startIndex, offsetBy: prompt)
                return (String(scalars[..<end]), String(scalars[end...]))
            }
            return .pair(
                prompt: .text(parts(chosen).prompt), chosen: .text(parts(chosen).answer),
                rejected: .text(parts(rejected).answer), margin: margin)
        case (.array, .array, .array), (.null, .array, .array), (.string, .array, .array):
            return try conversation(object, prompt, margin)
        case (_, let chosen, let rejected):
            let (first, rest) = prompt == .null ? ("", "") : ("\"prompt\" is \(prompt.kind), ", ", all three alike")
            throw InputError(
                first + "\"chosen\" is \(chosen.kind) and \"rejected\" is \(rejected.kind), expected texts or lists of "
                    + "messages" + rest)
        }
    }

    private static func conversation(_ object: JSON, _ prompt: JSON, _ margin: Float?) throws -> Row {
        let tools = try object.toolsColumn()
        let chosen = try MessagesFormat.messages(in: object, key: "chosen")
        let rejected = try MessagesFormat.messages(in: object, key: "rejected")
        if prompt.array != nil {
            let prompt = try MessagesFormat.messages(in: object, key: "prompt")
            try ImplicitPrompt.checkAnswer(chosen, "chosen")
            try ImplicitPrompt.checkAnswer(rejected, "rejected")
            return .pair(
                prompt: .conversation(Conversation(prompt, tools: tools)), chosen: .messages(chosen),
                rejected: .messages(rejected), margin: margin)
        }
        let length = ImplicitPrompt.length(chosen, rejected)
        // Some sets repeat the question as a text beside two whole conversations.
        if let asked = prompt.string, !chosen[..<length].contains(where: { $0.content.string == asked }) {
            throw InputError(
                "\"prompt\" is a text that the conversations in \"chosen\" and \"rejected\" do not begin with",
                hint: "Write it as messages, or leave it out where both hold the whole conversation")
        }
        guard length > 0 else {
            throw InputError(
                "\"chosen\" and \"rejected\" begin with different messages, and there is no \"prompt\"")
        }
        return .pair(
            prompt: .conversation(Conversation(Array(chosen[..<length]), tools: tools)),
            chosen: .messages(Array(chosen[length...])), rejected: .messages(Array(rejected[length...])),
            margin: margin)
    }

    static func margin(_ object: JSON) throws -> Float? {
        guard let value = object["margin"], value != .null else { return nil }
        guard let margin = value.number, margin.isFinite else {
            throw InputError("is \(value.kind), expected a number", place: "margin")
        }
        return Float(margin)
    }
}

/// The prompt that two answers share where a row has none of its own, as TRL takes it.
enum ImplicitPrompt {
    /// The characters that both texts begin with, without a space at the end: it belongs to the answers.
    static func length(_ chosen: String, _ rejected: String) -> Int {
        let shared = Array(zip(chosen.unicodeScalars, rejected.unicodeScalars).prefix { $0 == $1 })
        return shared.last?.0 == " " ? shared.count - 1 : shared.count
    }

    /// The messages that both conversations begin with; of two equal ones, all but the last, so that there is an answer to compare.
    static func length(_ chosen: [Message], _ rejected: [Message]) -> Int {
        let shared = zip(chosen, rejected).prefix { $0 == $1 }.count
        return min(shared, min(chosen.count, rejected.count) - 1)
    }

    /// Fails where an answer begins with something that a model does not say.
    static func checkAnswer(_ messages: [Message], _ key: String) throws {
        guard let first = messages.first, !first.isAssistant else { return }
        throw InputError(
            "begins with a \(first.role) message, expected the assistant's answer", place: "\(key)[0].role",
            hint: "Where both answers hold the whole conversation, leave out \"prompt\"")
    }
}
