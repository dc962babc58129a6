import Files

/// Alpaca's shape: `{"instruction", "input"?, "output", "system"?, "history"?: [[question, answer], …]}`.
///
/// It becomes a conversation: the user says the instruction, and the input on the next line where there is one.
enum AlpacaFormat: RowFormat {
    static let name = "alpaca"
    static let requiredKeys = ["instruction", "output"]
    static let optionalKeys = ["input", "system", "history"]

    static func row(from object: JSON) throws -> Row {
        var messages: [Message] = []
        if let system = try object.optionalString("system"), !system.isEmpty {
            messages.append(Message(role: "system", content: .string(system)))
        }
        messages += try history(object)
        let instruction = try object.requiredString("instruction")
        let input = try object.optionalString("input") ?? ""
        let question = [instruction, input].filter { !$0.isEmpty }.joined(separator: "\n")
        messages.append(Message(role: "user", content: .string(question)))
        messages.append(Message(role: "assistant", content: .string(try object.requiredString("output"))))
        return .messages(Conversation(messages))
    }

    private static func history(_ object: JSON) throws -> [Message] {
        guard let value = object["history"] else { return [] }
        guard let pairs = value.array else {
            throw InputError("is \(value.kind), expected a list of [question, answer]", place: "history")
        }
        return try pairs.enumerated().flatMap { index, pair in
            guard let two = pair.array, two.count == 2, let question = two[0].string, let answer = two[1].string else {
                throw InputError("expected [question, answer], two strings", place: "history[\(index)]")
            }
            return [
                Message(role: "user", content: .string(question)), Message(role: "assistant", content: .string(answer)),
            ]
        }
    }
}
