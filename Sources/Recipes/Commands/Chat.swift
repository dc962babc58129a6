import Datasets
import Files

/// A conversation with a model, turn by turn.
public final class Conversing {
    private let generator: TextGenerator
    private var messages: [Message] = []

    /// Begins a conversation.
    public init(_ generator: TextGenerator) { self.generator = generator }

    /// Answers the next turn and remembers both.
    ///
    /// - Parameters:
    ///   - turn: the user's words.
    ///   - onText: takes the answer in pieces as it grows.
    /// - Returns: the whole answer.
    /// - Throws: ``InputError`` where the conversation fills the model's context.
    @discardableResult
    public func reply(to turn: String, onText: @escaping (String) -> Void = { _ in }) throws -> String {
        let asked = messages + [Message(role: "user", content: .string(turn))]
        // A model without a chat template goes on with each turn by itself.
        let prompt = generator.hasTemplate ? Prompt.conversation(Conversation(asked)) : .text(turn)
        let answer = try generator.generate([prompt], onText: onText).answers.first?.text ?? ""
        messages = asked + [Message(role: "assistant", content: .string(answer))]
        return answer
    }
}
