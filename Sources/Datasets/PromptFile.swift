import Files

/// What a model is asked to continue.
public enum Prompt: Sendable, Hashable {
    /// The user's words, or the text that goes on.
    case text(String)
    /// A conversation up to the model's turn.
    case conversation(Conversation)

    /// Reads the prompts of a file: rows with `prompt` (a text, or messages) or with `messages`, each with `tools` if need be; or
    /// plain text, a prompt a line.
    ///
    /// - Throws: ``InputError`` with file and line where a row is something else, or there is none.
    public static func read(_ path: String) throws -> [Prompt] {
        var prompts: [Prompt] = []
        try RowFile(path).forEachRow { row in
            do {
                prompts.append(try Prompt(row))
            } catch let error as InputError {
                let place = error.place.map { "\(row.place): \($0)" } ?? row.place
                throw InputError(error.message, file: path, place: place, hint: error.hint)
            }
            return true
        }
        guard !prompts.isEmpty else { throw InputError("holds no prompt", file: path) }
        return prompts
    }

    private init(_ row: RawRow) throws {
        switch row.content {
        case .text(let bytes):
            guard let text = String(validating: bytes, as: UTF8.self) else { throw InputError("not valid UTF-8") }
            self = .text(text)
        case .json(let bytes):
            let object = try bytes.withUnsafeBytes { try JSON(parsing: $0) }
            let keys = try object.keysOfRow()
            guard let key = ["messages", "prompt"].first(where: keys.contains) else {
                throw InputError(
                    "the row has the keys \(quotedList(keys))",
                    hint: "A prompt is a row with \"prompt\" or \"messages\"")
            }
            if key == "prompt", object[key]?.array == nil {
                self = .text(try object.requiredString(key))
            } else {
                self = .conversation(
                    Conversation(try MessagesFormat.messages(in: object, key: key), tools: try object.toolsColumn()))
            }
        }
    }
}
