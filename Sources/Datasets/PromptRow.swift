import Files

/// A row of prompts as its author wrote it, which its tokens no longer say.
public struct PromptRow: Hashable, Sendable {
    /// The user's words: the text, or the last message of a conversation.
    public var text: String
    /// What the answer should be; nil where the row says nothing.
    public var reference: String?

    /// Makes a row.
    public init(text: String, reference: String? = nil) {
        self.text = text
        self.reference = reference
    }

    /// All rows of some files, in order: `Example.row` counts them.
    ///
    /// - Throws: ``InputError`` naming file and line of the first row that cannot be read.
    public static func read(_ sources: [DatasetSource]) throws -> [PromptRow] {
        var rows: [PromptRow] = []
        for source in sources {
            let parser = try RowParser(source, for: .prompts)
            try RowFile(source.path, documents: source.documents).forEachRow { raw in
                guard case .prompt(let prompt, let reference) = try parser.row(raw) else {
                    preconditionFailure("a row of prompts that is none")
                }
                rows.append(PromptRow(text: prompt.lastWords, reference: reference))
                return true
            }
        }
        return rows
    }
}

extension Prompt {
    /// The text, or that of a conversation's last message.
    fileprivate var lastWords: String {
        switch self {
        case .text(let text): return text
        case .conversation(let conversation):
            guard let content = conversation.messages.last?.content else { return "" }
            return content.string ?? content.text()
        }
    }
}
