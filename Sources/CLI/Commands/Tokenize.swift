import ArgumentParser
import Recipes

struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turns lines into token ids.",
        discussion: """
            Every line of the file becomes a line of output: a JSON array of ids. No special tokens are added. In a .jsonl file each \
            line is a JSON string, so that a text can hold newlines.
            """)

    @Option(help: ArgumentHelp("Take this model's tokenizer.", valueName: "model"))
    var model: String?

    @Option(help: ArgumentHelp("Take this tokenizer.json.", valueName: "file"))
    var tokenizer: String?

    @Option(help: ArgumentHelp("The lines.", valueName: "file"))
    var file: String

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (model == nil) != (tokenizer == nil) else { throw ValidationError("Give --model or --tokenizer.") }
    }

    func run() throws {
        let choice = model.map { TokenizerChoice.model($0) } ?? .file(tokenizer ?? "")
        let output = StandardOutput()
        // What came before a fault is still worth having.
        defer { try? output.flush() }
        try Commands.tokenize(file, with: choice) { ids in
            try output.write("[" + ids.map(String.init).joined(separator: ",") + "]\n")
        }
        try output.flush()
    }
}
