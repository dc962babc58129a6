import ArgumentParser
import Recipes

struct Benchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures how fast a recipe trains on this machine, without writing anything.")

    @OptionGroup var recipe: RecipeOptions
    @OptionGroup var output: OutputOptions

    @Option(help: "Steps to measure; one more is run first.")
    var steps = 5

    func validate() throws {
        guard (1...1_000_000).contains(steps) else { throw ValidationError("--steps must be at least 1") }
    }

    func run() throws {
        let report = try Commands.benchmark(recipe.read(), steps: steps, observer: Console().show)
        try StandardOutput.write(output.json ? report.json.text(.spaced) + "\n" : report.text)
    }
}
