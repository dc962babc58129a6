import ArgumentParser
import Recipes

struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures the perplexity of a model, with an adapter or without, on the rows of a file.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var scoring: ScoringFlags
    @OptionGroup var output: OutputOptions

    @Option(help: "An adapter's folder; several apply in order.")
    var adapter: [String] = []

    func run() throws {
        let result = try Commands.evaluate(
            model.settings(), adapters: adapter, options: scoring.options(), observer: Console().show)
        try StandardOutput.write(output.json ? result.json.text(.spaced) + "\n" : Console.text(of: result) + "\n")
    }
}
