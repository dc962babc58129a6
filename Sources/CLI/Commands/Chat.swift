import ArgumentParser
import Recipes

struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talks with a model, turn by turn; an empty line or Ctrl-D ends it.",
        discussion: "Lines that begin with a slash are commands: /adapter shows and switches adapters, /help lists all."
    )

    @OptionGroup var model: ModelOptions
    @OptionGroup var generation: GenerationFlags

    @Option(help: ArgumentHelp("An adapter's folder; all apply in order.", valueName: "[name=]folder"))
    var adapter: [String] = []

    func run() throws {
        let conversing = Conversing(
            try TextGenerator(
                model.settings(), adapters: NamedAdapter.reading(adapter), options: generation.options(),
                observer: Console().show))
        let output = StandardOutput()
        while let line = prompted(), !line.isEmpty {
            guard !isDone(line, by: conversing) else { continue }
            _ = try conversing.reply(to: ChatCommand.words(of: line)) { output.show($0) }
            try output.write("\n")
            try output.flush()
        }
    }

    /// Whether a line was a command; one that cannot be done is said and done with.
    private func isDone(_ line: String, by conversing: Conversing) -> Bool {
        do {
            guard let command = try ChatCommand(line) else { return false }
            Console.say(try conversing.obey(command))
        } catch {
            Console.say("error: \(error)")
        }
        return true
    }

    /// The next line the user types; nil at the end of input.
    private func prompted() -> String? {
        Console.ask("> ")
        return readLine()
    }
}
