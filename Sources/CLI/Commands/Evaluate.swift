import ArgumentParser
import Recipes

struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures the perplexity of a model, with an adapter or without, on the rows of a file.",
        discussion: """
            Of preference pairs (chosen/rejected) it measures how often the chosen answer has the higher score: of a reward \
            model its own, with an adapter the implicit reward against the model without, else the mean log-probability of a token.
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var scoring: ScoringFlags
    @OptionGroup var output: OutputOptions

    @Option(help: "An adapter's folder; several apply in order.")
    var adapter: [String] = []

    func run() throws {
        let options = try scoring.options()
        if try Commands.holdsPairs(options.data) { return try runOnPairs(options) }
        let result = try Commands.evaluate(
            model.settings(), adapters: adapter, options: options, observer: Console().show)
        try StandardOutput.write(output.json ? result.json.text(.spaced) + "\n" : Console.text(of: result) + "\n")
    }

    private func runOnPairs(_ options: ScoringOptions) throws {
        let result = try Commands.evaluatePairs(
            model.settings(), adapters: adapter, options: options, observer: Console().show)
        try StandardOutput.write(output.json ? result.json.text(.spaced) + "\n" : Console.text(of: result) + "\n")
    }
}
