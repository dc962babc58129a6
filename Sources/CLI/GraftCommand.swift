import ArgumentParser
import Files
import Recipes

/// The program. One command a file; a command reads its arguments and calls one entry point of `Recipes`.
struct GraftCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "graft",
        abstract: "Fine-tunes language models on an ordinary CPU.",
        discussion: """
            A recipe is one YAML page: the model, the adapter, the rows, the objective. Paths in it are relative to the working \
            folder. A model is named by a .gguf file, a Hugging Face folder, or org/name in the local Hugging Face cache.

            Exit codes: 0 done, 1 the run failed, 2 bad input or usage, 130 or 143 stopped by a signal after saving.
            """,
        version: graftVersion,
        subcommands: [
            Train.self, Inspect.self, Evaluate.self, Compare.self, Merge.self, Export.self, AdapterCommands.self,
            Generate.self,
            Chat.self, Tokenize.self, Benchmark.self,
        ])
}

/// Parses the arguments and runs the command they name.
///
/// - Returns: the exit code.
func runGraft() -> Int32 {
    do {
        var command = try GraftCommand.parseAsRoot()
        try Commands.checkMachine()
        try command.run()
        return 0
    } catch {
        return report(error)
    }
}

/// Says what went wrong, on standard error, and gives the exit code for it. Help and version come here too, for standard output.
private func report(_ error: any Error) -> Int32 {
    switch error {
    case let error as InputError:
        Console.say("error: \(error)")
        return 2
    case let error as RunError:
        Console.say("error: \(error)")
        return 1
    case let error as RunStopped:
        Console.say("\(error)")
        return 128 + error.signal
    default:
        let code = GraftCommand.exitCode(for: error)
        let text = GraftCommand.fullMessage(for: error)
        guard code.isSuccess else {
            if !text.isEmpty { Console.say(text) }
            return code == .validationFailure ? 2 : 1
        }
        print(text)
        return 0
    }
}
