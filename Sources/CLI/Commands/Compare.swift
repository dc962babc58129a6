import ArgumentParser
import Recipes

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Scores the base, the adapter, the merged and the re-quantised model on the same tokens, side by side.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var scoring: ScoringFlags
    @OptionGroup var output: OutputOptions

    @Option(help: "An adapter's folder; several are stacked in order.")
    var adapter: [String]

    @Option(help: "The merged model's folder.")
    var merged: String?

    func validate() throws {
        guard !adapter.isEmpty else { throw ValidationError("--adapter is missing: there is nothing to compare") }
    }

    func run() throws {
        let comparison = try Commands.compare(
            model.settings(), adapters: adapter, merged: merged, options: scoring.options(), observer: Console().show)
        try StandardOutput.write(output.json ? comparison.json.text(.spaced) + "\n" : comparison.text)
    }
}
