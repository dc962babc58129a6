import ArgumentParser
import Files
import Glibc
import Recipes

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what a recipe would train on, before any compute.",
        discussion: """
            Trained tokens are green on a terminal and stand in [[ ]] elsewhere. Fails when nothing is trained, when a mask masks \
            nothing, when the end of a turn is never trained, or when a row begins with BOS twice.
            """)

    @OptionGroup var recipe: RecipeOptions
    @OptionGroup var output: OutputOptions

    @Option(help: "How many rows to show.")
    var rows = 3

    func run() throws {
        let inspection = try Commands.inspect(recipe.read(), rows: rows)
        if output.json {
            try StandardOutput.write(inspection.json)
        } else {
            try StandardOutput.write(inspection.text(isTerminal: isatty(STDOUT_FILENO) == 1))
        }
        guard inspection.problems.isEmpty else {
            throw InputError(inspection.problems.joined(separator: "; "), file: recipe.recipe)
        }
    }
}
