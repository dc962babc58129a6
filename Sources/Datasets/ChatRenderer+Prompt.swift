import Files
import Tokenizers

extension ChatRenderer {
    /// The text with which a model is asked for its next turn.
    ///
    /// - Parameters:
    ///   - messages: the conversation so far.
    ///   - tools: the tools it may call.
    /// - Returns: the rendered conversation with the generation prompt at its end.
    /// - Throws: ``InputError`` with what the template raised.
    public func prompt(_ messages: [Message], tools: JSON? = nil) throws -> String {
        try render(messages, tools: tools, addGenerationPrompt: true).text
    }

    /// The token with which the template ends an assistant's turn; nil where it writes none, or cannot tell.
    public func endOfTurnToken(_ tokenizer: Tokenizer) -> Int32? { turnEnd(tokenizer)?.token }

    /// That token, and what the template writes after it; nil likewise.
    public func turnEnd(_ tokenizer: Tokenizer) -> TurnEnd? {
        let conversation = Conversation([
            Message(role: "user", content: "Hello"), Message(role: "assistant", content: "Hello"),
        ])
        let options = TokenizingOptions(trainOn: .lastTurn)
        let row = RowTokenizer(tokenizer, renderer: self, options: options)
        guard let example = try? row.tokenize(.messages(conversation), number: 0).examples.first,
            let end = example.isTarget.lastIndex(of: true), tokenizer.isSpecial(example.tokens[end])
        else { return nil }
        return TurnEnd(token: example.tokens[end], rest: Array(example.tokens[(end + 1)...]))
    }
}

/// How a chat template ends an assistant's turn.
public struct TurnEnd: Hashable, Sendable {
    /// The token that ends it.
    public var token: Int32
    /// What follows that token, mostly a line feed, or nothing.
    public var rest: [Int32]

    /// Makes an end.
    public init(token: Int32, rest: [Int32]) {
        self.token = token
        self.rest = rest
    }
}
