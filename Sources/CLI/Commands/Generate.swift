import ArgumentParser
import Files
import Recipes

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answers prompts.",
        discussion: """
            Greedy unless --temperature is above 0. Several prompts are answered side by side. With --json every answer is a line of \
            its own.
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var generation: GenerationFlags
    @OptionGroup var output: OutputOptions

    @Option(help: ArgumentHelp("An adapter's folder; several apply in order.", valueName: "[name=]folder"))
    var adapter: [String] = []

    @Option(
        help: ArgumentHelp(
            "Answer with these alone, or none; can be given several times, each to answer all prompts.",
            valueName: "a+b"))
    var use: [String] = []

    @Option(help: "The user's words; can be given several times.")
    var prompt: [String] = []

    @Option(help: ArgumentHelp("Prompts: rows with prompt or messages, or a line of text each.", valueName: "file"))
    var prompts: String?

    @Option(help: "Answers to each prompt.")
    var samples = 1

    @Option(help: "New tokens at least: no answer ends before.")
    var minNewTokens = 0

    @Flag(help: "Continue the prompt as it stands, without the chat template.")
    var raw = false

    func validate() throws {
        guard !prompt.isEmpty || prompts != nil else { throw ValidationError("Give --prompt or --prompts.") }
        guard (1...65_536).contains(samples) else { throw ValidationError("--samples must lie between 1 and 65536") }
        guard minNewTokens >= 0 && minNewTokens <= generation.maxTokens else {
            throw ValidationError("--min-new-tokens must lie between 0 and --max-tokens")
        }
    }

    func run() throws {
        var options = generation.options()
        options.minimumTokens = minNewTokens
        options.samples = samples
        options.raw = raw
        let asked = prompt.map { Prompt.text($0) } + (try prompts.map { try Prompt.read($0) } ?? [])
        let generator = try TextGenerator(
            model.settings(), adapters: NamedAdapter.reading(adapter), options: options, observer: Console().show)
        // All of them first: a name that is wrong is better known before the first answer.
        for stack in use { try generator.activate(stack) }
        guard !use.isEmpty else { return try answer(asked, generator) }
        for stack in use {
            try generator.activate(stack)
            try answer(asked, generator)
        }
    }

    private func answer(_ asked: [Prompt], _ generator: TextGenerator) throws {
        let standardOutput = StandardOutput()
        let isSingle = asked.count == 1 && samples == 1 && use.count < 2
        let report = try generator.generate(
            asked, onText: isSingle && !output.json ? { standardOutput.show($0) } : nil)
        if output.json {
            for line in report.json(asked) { try standardOutput.write(line.text(.spaced) + "\n") }
        } else {
            try standardOutput.write(isSingle ? "\n" : report.text(samples: samples, showsAdapters: use.count > 1))
        }
        try standardOutput.flush()
        Console.say(report.speed)
    }
}
