import Files
import Models
import Tokenizers

/// Where a command takes its tokenizer from.
public enum TokenizerChoice: Sendable {
    /// The tokenizer of a model, named as everywhere.
    case model(String)
    /// A `tokenizer.json`.
    case file(String)

    /// Opens the tokenizer.
    func open() throws -> Tokenizer {
        switch self {
        case .file(let path): return try Tokenizer(file: path)
        case .model(let name):
            // A folder's weights are not needed, and need not be there.
            switch try ModelLocation(name) {
            case .folder(let folder): return try Tokenizer(file: folder + "/tokenizer.json")
            case .gguf(let file): return try openCheckpoint(file).tokenizer()
            }
        }
    }
}

extension Commands {
    /// Turns each line of a file into token ids, without adding any special token.
    ///
    /// In a `.jsonl` file each line is a JSON string, so that a text can hold line feeds; in any other file a line is the text itself.
    /// Either may be `.zst`.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - choice: the tokenizer.
    ///   - emit: takes the ids of each line, in order.
    /// - Throws: ``InputError`` with the line that is not UTF-8 or no JSON string.
    public static func tokenize(_ path: String, with choice: TokenizerChoice, emit: ([Int32]) throws -> Void) throws {
        let tokenizer = try choice.open()
        let name = path.hasSuffix(".zst") ? path.dropLast(4) : path[...]
        let isJSON = name.hasSuffix(".jsonl") || name.hasSuffix(".ndjson")
        try ByteSource(path).forEachLine { line, number in
            let text = try isJSON ? jsonText(line, path, number) : plainText(line, path, number)
            do { try emit(tokenizer.encode(text)) } catch let error as InputError {
                throw InputError(error.message, file: path, place: "line \(number)")
            }
            return true
        }
    }

    private static func plainText(_ line: UnsafeRawBufferPointer, _ file: String, _ number: Int) throws -> String {
        guard let text = String(validating: line, as: UTF8.self) else {
            throw InputError("not UTF-8", file: file, place: "line \(number)")
        }
        return text
    }

    private static func jsonText(_ line: UnsafeRawBufferPointer, _ file: String, _ number: Int) throws -> String {
        let value: JSON
        do {
            value = try JSON(parsing: line)
        } catch let error as InputError {
            throw InputError(error.message, file: file, place: "line \(number)")
        }
        guard let text = value.string else {
            throw InputError("a JSON string is expected, not \(value.kind)", file: file, place: "line \(number)")
        }
        return text
    }
}
