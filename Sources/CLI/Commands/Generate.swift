import ArgumentParser
import Files
import Recipes

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answers a prompt.", discussion: "Greedy unless --temperature is above 0.")

    @OptionGroup var model: ModelOptions
    @OptionGroup var generation: GenerationFlags
    @OptionGroup var output: OutputOptions

    @Option(help: "An adapter's folder; several apply in order.")
    var adapter: [String] = []

    @Option(help: "The user's words.")
    var prompt: String

    @Flag(help: "Continue the prompt as it stands, without the chat template.")
    var raw = false

    func run() throws {
        let conversing = try Conversing(
            model.settings(), adapters: adapter, options: generation.options(raw: raw), observer: Console().show)
        let standardOutput = StandardOutput()
        let answer = try conversing.answer(prompt) { piece in
            if !output.json { standardOutput.show(piece) }
        }
        if output.json {
            try StandardOutput.write(["prompt": .string(prompt), "answer": .string(answer)])
        } else {
            try standardOutput.write("\n")
            try standardOutput.flush()
        }
    }
}
