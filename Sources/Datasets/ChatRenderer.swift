import Files
import Tokenizers

/// Writes conversations as text with a model's chat template.
public struct ChatRenderer: Sendable {
    /// The template's Jinja source.
    public let source: String
    private let template: ChatTemplate
    private let bosToken: String
    private let eosToken: String
    private let variables: [String: JSON]
    private let date: LocalTime
    private let contentShape: ContentShape

    /// Whether the template writes `tool_calls`. Where it does not, a call becomes the message's content, as JSON.
    let writesToolCalls: Bool
    /// Whether the template writes the `tools` it is given.
    let writesTools: Bool

    /// Parses the template.
    ///
    /// - Parameters:
    ///   - source: the Jinja source.
    ///   - tokenizer: its BOS and EOS tokens are handed to the template.
    ///   - variables: further variables of the template, `enable_thinking` for one.
    ///   - date: what templates that print the date print.
    /// - Throws: ``InputError`` with the line at which the template stops being Jinja.
    public init(_ source: String, tokenizer: Tokenizer, variables: [String: JSON] = [:], date: LocalTime = .now) throws
    {
        try self.init(
            source, bosToken: tokenizer.bosToken.flatMap(tokenizer.token) ?? "",
            eosToken: tokenizer.eosToken.flatMap(tokenizer.token) ?? "", variables: variables, date: date)
    }

    /// Parses the template, with BOS and EOS given as text.
    package init(
        _ source: String, bosToken: String, eosToken: String, variables: [String: JSON] = [:], date: LocalTime = .now
    ) throws {
        self.source = source
        template = try ChatTemplate(source)
        self.bosToken = bosToken
        self.eosToken = eosToken
        self.variables = variables
        contentShape = ContentShape(of: template, bosToken: bosToken, eosToken: eosToken)
        self.date = date
        writesToolCalls = source.contains("tool_calls")
        writesTools = source.contains("tools")
    }

    /// Everything that decides what a conversation becomes, for cache keys; the day too where the template prints it.
    var identity: String {
        let day = source.contains("strftime_now") ? "\(date.year)-\(date.month)-\(date.day)" : ""
        let settings = variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.text())" }
        return ([source, bosToken, eosToken, day] + settings).joined(separator: "\u{0}")
    }

    /// How the arguments of tool calls are handed to the template: some take an object, some a JSON string.
    enum ArgumentShape { case objects, strings }

    /// Renders messages.
    ///
    /// - Throws: ``InputError`` with what the template raised.
    func render(
        _ messages: some Sequence<Message>, tools: JSON?, addGenerationPrompt: Bool = false,
        arguments: ArgumentShape = .objects
    ) throws -> RenderedChat {
        try template.render(
            messages: try messages.map { try json(of: $0, arguments) }, tools: tools,
            addGenerationPrompt: addGenerationPrompt,
            bosToken: bosToken, eosToken: eosToken, variables: variables, date: date)
    }

    /// Renders a conversation, trying tool arguments as objects first (what the documentation of transformers asks for) and as strings
    /// where the template cannot take those.
    func render(_ conversation: Conversation) throws -> (chat: RenderedChat, arguments: ArgumentShape) {
        guard writesToolCalls, conversation.messages.contains(where: { $0.toolCalls != nil }) else {
            return (try render(conversation.messages, tools: conversation.tools), .objects)
        }
        do {
            return (try render(conversation.messages, tools: conversation.tools), .objects)
        } catch let first as InputError {
            guard let chat = try? render(conversation.messages, tools: conversation.tools, arguments: .strings) else {
                throw first
            }
            return (chat, .strings)
        }
    }

    /// What of a conversation the template leaves out or cannot say in its own way, as sentences for the report.
    func notes(on conversation: Conversation) -> [String] {
        var notes: [String] = []
        if !writesToolCalls, conversation.messages.contains(where: { $0.toolCalls != nil }) {
            notes.append("the chat template has no tool calls: each was written as JSON in the message's content")
        }
        if !writesTools, conversation.tools != nil { notes.append("the chat template does not write the tools column") }
        return notes
    }

    private func json(of message: Message, _ shape: ArgumentShape) throws -> JSON {
        var message = message
        message.content = try contentShape.shaped(message.content)
        guard let calls = message.toolCalls?.array else { return message.json }
        guard writesToolCalls else {
            let functions = calls.map { $0["function"] ?? $0 }
            let text = functions.map { $0.text(.spaced) }.joined(separator: "\n")
            let said = [message.content.string ?? "", text].filter { !$0.isEmpty }.joined(separator: "\n")
            message.content = try contentShape.shaped(.string(said))
            message.toolCalls = nil
            return message.json
        }
        message.toolCalls = .array(
            calls.map { Self.call($0, shape, keepsStrings: source.contains("arguments is string")) })
        return message.json
    }

    private static func call(_ call: JSON, _ shape: ArgumentShape, keepsStrings: Bool) -> JSON {
        guard let function = call["function"], let arguments = function["arguments"] else { return call }
        let shaped: JSON
        switch (shape, arguments) {
        case (.objects, .string(let text)) where !keepsStrings: shaped = (try? JSON(parsing: text)) ?? arguments
        case (.strings, .string), (.objects, _): shaped = arguments
        case (.strings, _): shaped = .string(arguments.text(.spaced))
        }
        return call.setting("function", to: function.setting("arguments", to: shaped))
    }
}
