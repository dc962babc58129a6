import Files
import Tokenizers

/// Renders one conversation and finds the spans of its text that are trained.
package struct ChatMask {
    private let renderer: ChatRenderer
    private let conversation: Conversation
    private let chat: RenderedChat
    private let arguments: ChatRenderer.ArgumentShape
    private let bytes: [UInt8]

    /// The rendered text.
    package var text: String { chat.text }

    /// Renders a conversation.
    ///
    /// - Throws: ``InputError`` with what the template raised.
    package init(_ conversation: Conversation, renderer: ChatRenderer) throws {
        self.renderer = renderer
        self.conversation = conversation
        (chat, arguments) = try renderer.render(conversation)
        bytes = Array(chat.text.utf8)
    }

    /// The trained spans of the text's UTF-8 under a mask.
    ///
    /// - Parameters:
    ///   - mask: `assistant`, `last_turn` or `all`.
    ///   - specials: the special tokens of the text, in order.
    /// - Returns: the spans, without what messages marked `train: false` wrote.
    /// - Throws: ``InputError`` where the template gives no way to tell who wrote what.
    package func spans(_ mask: TrainOn, specials: [SpecialToken]) throws -> [Range<Int>] {
        let spans: [Range<Int>]
        switch mask {
        case .all: spans = [0..<bytes.count]
        case .assistant: spans = try assistantSpans(specials).flatMap(\.self)
        case .lastTurn: spans = try lastTurn(specials)
        case .completion: preconditionFailure("a conversation without a prompt has no completion")
        }
        return LossMask.subtracting(try untrainedSpans(), from: spans)
    }

    /// Whether the template writes messages one by one, in a loop over them.
    private var hasMessageLoop: Bool { chat.messageSpans.contains { $0.contains { !$0.isEmpty } } }

    private func spans(ofMessage index: Int) -> [Range<Int>] {
        index < chat.messageSpans.count ? chat.messageSpans[index].filter { !$0.isEmpty } : []
    }

    /// What each assistant message contributes, in order; `{% generation %}` wins where the template has it.
    private func assistantSpans(_ specials: [SpecialToken]) throws -> [[Range<Int>]] {
        let assistants = conversation.messages.indices.filter { conversation.messages[$0].isAssistant }
        if chat.hasGenerationBlocks {
            guard hasMessageLoop else { return [chat.generationSpans] }
            return assistants.map { index in
                let own = spans(ofMessage: index)
                return chat.generationSpans.filter { span in own.contains { $0.overlaps(span) } }
            }
        }
        guard hasMessageLoop || assistants.isEmpty else {
            throw InputError(
                "the chat template has no loop over the messages, so an assistant's part cannot be told apart",
                hint: "Use train_on: last_turn or all, or a template that marks answers with {% generation %}")
        }
        var prompts: [String: [UInt8]] = [:]
        return assistants.map { index in
            // What asks for an answer may depend on what it answers, a user or a tool.
            let previous = index == 0 ? "" : conversation.messages[index - 1].role
            let prompt = prompts[previous] ?? generationPrompt(before: index)
            prompts[previous] = prompt
            return spans(ofMessage: index).filter { !bytes[$0].allSatisfy(RowFile.isSpace) }.map {
                ChatSpans.answer(in: $0, of: bytes, generationPrompt: prompt, specials: specials)
            }
        }
    }

    /// The generation prompt for the answer at `index`, from the messages before it; none where the template refuses to end there.
    private func generationPrompt(before index: Int) -> [UInt8] {
        for count in [index, conversation.messages.count] where count > 0 {
            let messages = conversation.messages[..<count]
            guard let with = try? render(messages, addGenerationPrompt: true),
                let without = try? render(messages, addGenerationPrompt: false)
            else { continue }
            let end = with.messageSpans.joined().map(\.upperBound).max() ?? 0
            return ChatSpans.generationPrompt(
                with: Array(with.text.utf8), without: Array(without.text.utf8), lastSpanEnd: end)
        }
        return []
    }

    private func render(_ messages: ArraySlice<Message>, addGenerationPrompt: Bool) throws -> RenderedChat {
        try renderer.render(
            messages, tools: conversation.tools, addGenerationPrompt: addGenerationPrompt, arguments: arguments)
    }

    /// The last assistant message. Without a loop over messages: what follows the longest prefix shared with the prompt alone.
    private func lastTurn(_ specials: [SpecialToken]) throws -> [Range<Int>] {
        guard let last = conversation.messages.lastIndex(where: \.isAssistant) else { return [] }
        if hasMessageLoop { return try assistantSpans(specials).last ?? [] }
        guard last == conversation.messages.count - 1, last > 0 else {
            throw InputError(
                "the chat template has no loop over the messages, and the row does not end with the assistant's answer",
                hint: "Use train_on: all")
        }
        if chat.hasGenerationBlocks { return chat.generationSpans.last.map { [$0] } ?? [] }
        let prompt = try render(conversation.messages[..<last], addGenerationPrompt: true)
        let start = LossMask.commonPrefix(Array(prompt.text.utf8), bytes)
        return [
            ChatSpans.answer(in: start..<bytes.count, of: bytes, generationPrompt: [], specials: specials)
        ]
    }

    /// What messages marked `train: false` wrote.
    private func untrainedSpans() throws -> [Range<Int>] {
        let untrained = conversation.messages.indices.filter { !conversation.messages[$0].train }
        guard hasMessageLoop || untrained.isEmpty else {
            throw InputError(
                "the chat template has no loop over the messages, so a message's train: false cannot be followed")
        }
        return untrained.flatMap(spans(ofMessage:))
    }
}
