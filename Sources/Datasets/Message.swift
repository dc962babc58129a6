import Files

/// One message of a conversation, as the chat template sees it.
public struct Message: Sendable, Hashable {
    /// Who speaks: one of ``knownRoles``.
    public var role: String
    /// What is said: a string, `null` (an assistant that only calls tools), or a list of parts.
    public var content: JSON
    /// The tools an assistant calls, in the form chat templates read: `[{"type": "function", "function": {"name", "arguments"}}]`.
    public var toolCalls: JSON?
    /// Every other member of the row's message, an object handed to the template untouched (`reasoning_content`, `tool_call_id` …).
    public var extra: JSON
    /// Whether an assistant message may be trained. `"train": false` in a row keeps it as context only.
    public var train: Bool

    /// The roles that a row may use. `developer` is a system message of some templates, `function` and `ipython` are tool results.
    public static let knownRoles = ["system", "developer", "user", "assistant", "tool", "function", "ipython"]

    /// Makes a message.
    public init(role: String, content: JSON, toolCalls: JSON? = nil, extra: JSON = [:], train: Bool = true) {
        self.role = role
        self.content = content
        self.toolCalls = toolCalls
        self.extra = extra
        self.train = train
    }

    /// Whether it is the model that speaks.
    public var isAssistant: Bool { role == "assistant" }

    /// The object handed to the template: `role`, `content`, `tool_calls` if any, then the extra fields. `train` is ours and stays out.
    public var json: JSON {
        var object = JSON.object(["role": .string(role), "content": content])
        if let toolCalls { object = object.setting("tool_calls", to: toolCalls) }
        for (key, value) in extra.object ?? [:] { object = object.setting(key, to: value) }
        return object
    }
}

/// A conversation and the tools its assistant may call.
public struct Conversation: Sendable, Hashable {
    /// The messages, oldest first.
    public var messages: [Message]
    /// The tools' descriptions, as the template reads them; nil where there are none.
    public var tools: JSON?

    /// Makes a conversation.
    public init(_ messages: [Message], tools: JSON? = nil) {
        self.messages = messages
        self.tools = tools
    }
}

/// One row of a dataset, whatever format it was written in.
public enum Row: Sendable, Hashable {
    /// A conversation.
    case messages(Conversation)
    /// A plain prompt and what should follow it.
    case promptCompletion(prompt: String, completion: String)
    /// A conversation up to the point where the model should answer, and its answer.
    case chatCompletion(prompt: Conversation, completion: [Message])
    /// Plain text.
    case text(String)
    /// A prompt and two answers, the first of which is preferred, and by how much where the row says.
    case pair(prompt: Prompt, chosen: Answer, rejected: Answer, margin: Float?)
    /// A prompt and an answer that is desirable or not.
    case labelled(prompt: Prompt, answer: Answer, isDesirable: Bool)
    /// A prompt alone, and what the answer should be where the row says.
    case prompt(Prompt, reference: String?)

    /// The row's kind in the words of an error message.
    public var kind: String {
        switch self {
        case .messages: "messages"
        case .promptCompletion: "prompt/completion"
        case .chatCompletion: "conversational prompt/completion"
        case .text: "text"
        case .pair: "preference pair"
        case .labelled: "labelled answer"
        case .prompt: "prompt"
        }
    }
}

/// What follows a prompt: text after a text, messages after a conversation.
public enum Answer: Sendable, Hashable {
    /// The text that goes on.
    case text(String)
    /// The turns that follow, an assistant's first.
    case messages([Message])

    /// Whether it says nothing at all.
    var isEmpty: Bool {
        switch self {
        case .text(let text): text.isEmpty
        case .messages(let messages):
            messages.allSatisfy { $0.toolCalls == nil && ($0.content.string?.isEmpty ?? ($0.content == .null)) }
        }
    }
}

extension JSON {
    /// This object with a member set; what is no object is returned unchanged.
    func setting(_ key: String, to value: JSON) -> JSON {
        guard case .object(var members) = self else { return self }
        members[key] = value
        return .object(members)
    }
}
