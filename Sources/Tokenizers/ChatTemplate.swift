import Files
import OrderedCollections

/// A model's chat template: Jinja source, parsed once, that writes a conversation as the text the model was trained on.
///
/// The language and its settings are those of transformers' `apply_chat_template`: Jinja2's sandbox with `trim_blocks` and
/// `lstrip_blocks`, the functions `raise_exception` and `strftime_now`, its own `tojson`, and the tags `break`, `continue` and
/// `generation`. The source is not trusted: it can neither change its input nor run, nest or grow without end.
public struct ChatTemplate: Sendable {
    /// The Jinja source.
    public let source: String
    /// What errors call this template.
    public let name: String
    private let syntax: Syntax

    /// Parses a template.
    ///
    /// - Throws: `InputError` with the line of a fault.
    public init(_ source: String, name: String = "chat template") throws {
        self.source = source
        self.name = name
        do {
            syntax = try Parser.parse(source)
        } catch let error as InputError {
            throw error.inFile(name)
        }
    }

    /// Writes a conversation.
    ///
    /// - Parameters:
    ///   - messages: objects with `role`, `content` and whatever else the template reads. As in transformers, reasoning given as
    ///     `thinking` or `reasoning` is also there as `reasoning_content`.
    ///   - tools: JSON schemas of the tools offered; `none` in the template when nil.
    ///   - addGenerationPrompt: whether to end with the opening of an assistant's turn.
    ///   - bosToken: `bos_token` in the template, undefined there when empty.
    ///   - eosToken: `eos_token` in the template, undefined there when empty.
    ///   - variables: what else the template may read, such as `documents` or `enable_thinking`.
    ///   - date: what `strftime_now` tells.
    /// - Returns: the text, and which parts of it were written for which message.
    /// - Throws: `InputError` with the template's line: the template's own objections (`raise_exception`), what Jinja would fail
    ///   on, and templates that run or grow without end.
    public func render(
        messages: [JSON], tools: JSON? = nil, addGenerationPrompt: Bool = false, bosToken: String = "",
        eosToken: String = "", variables: [String: JSON] = [:], date: LocalTime = .now
    ) throws -> RenderedChat {
        do {
            var values: [String: Value] = ["documents": .none]
            if !bosToken.isEmpty { values["bos_token"] = .string(bosToken) }
            if !eosToken.isEmpty { values["eos_token"] = .string(eosToken) }
            for (name, value) in variables { values[name] = try Value(value) }
            values["messages"] = try .makeList(
                messages.enumerated().map { try Value(Self.namingReasoning($0.element), message: $0.offset) })
            values["tools"] = try tools.map { try Value($0) } ?? Value.none
            values["add_generation_prompt"] = .bool(addGenerationPrompt)
            let output = try Interpreter(syntax, variables: values, date: date).run()
            return RenderedChat(output, messages: messages.count, hasGenerationBlocks: syntax.hasGenerationBlocks)
        } catch let error as InputError {
            throw error.inFile(name)
        }
    }

    /// A message with its reasoning under each name that templates read.
    private static func namingReasoning(_ message: JSON) -> JSON {
        guard case .object(var members) = message else { return message }
        let names = ["reasoning_content", "thinking", "reasoning"]
        guard let reasoning = names.lazy.compactMap({ message[$0] }).first else { return message }
        if members["thinking"] == nil { members.updateValue(reasoning, forKey: "thinking", insertingAt: 0) }
        members["reasoning_content"] = reasoning
        return .object(members)
    }
}

/// A conversation as text, and who each part of it belongs to.
public struct RenderedChat: Sendable {
    /// The text.
    public var text: String
    /// For each message, the ranges of the text's UTF-8 that were written for it: by loop iterations whose variable *is* that
    /// message, also where the loop runs over a slice, a filtered list or a copy, or counts and looks the message up. In order,
    /// adjacent ranges merged; empty for a message that no loop wrote.
    public var messageSpans: [[Range<Int>]]
    /// The ranges of the text's UTF-8 that `{% generation %}` blocks wrote.
    public var generationSpans: [Range<Int>]
    /// Whether the template has such blocks, whether or not they wrote anything.
    public var hasGenerationBlocks: Bool

    init(_ output: Output, messages: Int, hasGenerationBlocks: Bool) {
        text = output.text
        messageSpans = Array(repeating: [], count: messages)
        for span in output.spans { messageSpans[span.message].append(span.range) }
        generationSpans = output.generations
        self.hasGenerationBlocks = hasGenerationBlocks
    }
}
