import ArgumentParser
import Recipes

struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talks with a model, turn by turn; an empty line or Ctrl-D ends it.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var generation: GenerationFlags

    @Option(help: "An adapter's folder; several apply in order.")
    var adapter: [String] = []

    func run() throws {
        let conversing = Conversing(
            try TextGenerator(
                model.settings(), adapters: adapter, options: generation.options(), observer: Console().show))
        let output = StandardOutput()
        while let turn = prompted(), !turn.isEmpty {
            _ = try conversing.reply(to: turn) { output.show($0) }
            try output.write("\n")
            try output.flush()
        }
    }

    /// The next line the user types; nil at the end of input.
    private func prompted() -> String? {
        Console.ask("> ")
        return readLine()
    }
}
