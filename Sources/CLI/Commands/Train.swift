import ArgumentParser
import Files
import Recipes

struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Trains what a recipe says, and evaluates before and after.",
        discussion: "Ctrl-C and SIGTERM save a checkpoint and stop; the same command with --resume goes on from it.")

    @OptionGroup var recipe: RecipeOptions
    @OptionGroup var output: OutputOptions

    @Flag(help: "Go on with the run in the output folder, from its newest checkpoint.")
    var resume = false

    @Flag(help: "Remove the run in the output folder and start anew.")
    var overwrite = false

    func validate() throws {
        guard !(resume && overwrite) else { throw ValidationError("--resume and --overwrite exclude each other") }
    }

    func run() throws {
        StopSignals.install()
        let console = Console()
        let summary = try Commands.train(
            recipe.read(), existing: resume ? .resume : overwrite ? .overwrite : .refuse,
            stopSignal: { StopSignals.received }, observer: console.show)
        if output.json { try StandardOutput.write(summary.json) }
        if let alarm = summary.stoppedBy {
            throw RunError(
                "the alarm \(alarm.name) stopped the run after step \(summary.steps): \(alarm.sentence); its weights are in "
                    + "\(summary.path), and --resume --set health.stop=false goes on")
        }
    }
}
