import ArgumentParser
import Recipes

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Scores the base, the adapter and the merged model on the same tokens, side by side.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var scoring: ScoringFlags
    @OptionGroup var output: OutputOptions

    @Option(help: "The adapter's folder.")
    var adapter: String

    @Option(help: "The merged model's folder.")
    var merged: String?

    func run() throws {
        let comparison = try Commands.compare(
            model.settings(), adapter: adapter, merged: merged, options: scoring.options(), observer: Console().show)
        try StandardOutput.write(output.json ? comparison.json.text(.spaced) + "\n" : comparison.text)
    }
}
