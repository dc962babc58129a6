import Files
import Tokenizers

/// In which form a chat template takes a message's content: a template that expects the other one often writes nothing at all, and
/// says nothing.
enum ContentShape: Sendable {
    /// Both forms, or neither: content is handed on as it stands in the row.
    case asGiven
    /// Strings only: lists of text parts are joined.
    case strings
    /// Lists of parts only (`[{"type": "text", "text": …}]`): strings are wrapped.
    case parts

    /// Tries both on a template.
    init(of template: ChatTemplate, bosToken: String, eosToken: String) {
        func writes(_ wrap: (String) -> JSON) -> Bool {
            let words = ["questionword", "answerword"]
            let messages: [JSON] = [
                ["role": "user", "content": wrap(words[0])], ["role": "assistant", "content": wrap(words[1])],
            ]
            let chat = try? template.render(messages: messages, bosToken: bosToken, eosToken: eosToken)
            // As one word each: a template may also write a list as JSON text.
            return chat.map { chat in
                words.allSatisfy(chat.text.contains) && !chat.text.contains("\"text\"") && !chat.text.contains("'text'")
            } ?? false
        }
        switch (writes { .string($0) }, writes(Self.wrapped)) {
        case (true, false): self = .strings
        case (false, true): self = .parts
        default: self = .asGiven
        }
    }

    private static func wrapped(_ text: String) -> JSON { [["type": "text", "text": .string(text)]] }

    /// Content in the form the template takes.
    ///
    /// - Throws: ``InputError`` for parts other than text where the template takes strings only.
    func shaped(_ content: JSON) throws -> JSON {
        switch (self, content) {
        case (.strings, .array(let parts)):
            return .string(
                try parts.map { part in
                    guard let text = part.string ?? part["text"]?.string else {
                        throw InputError(
                            "a message's content has a part of type \(part["type"]?.string ?? part.kind), but the chat template takes text only"
                        )
                    }
                    return text
                }.joined())
        case (.parts, .string(let text)): return Self.wrapped(text)
        default: return content
        }
    }
}
