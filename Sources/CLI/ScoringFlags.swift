import ArgumentParser
import Recipes

/// Flags of the commands that score rows.
struct ScoringFlags: ParsableArguments {
    @Option(help: "The rows: text, conversations or prompts with completions; JSON, JSONL or plain text, also .zst.")
    var data: String

    @Option(help: "Where rows are cut, in tokens. [default: the model's context, 2048 at most]")
    var maxLength: Int?

    @Option(help: "Score longer rows in windows that begin this many tokens apart.")
    var stride: Int?

    @Option(help: "Which tokens count: assistant, last_turn, completion or all.")
    var trainOn: String?

    /// The flags as the commands take them.
    func options() throws -> ScoringOptions {
        try ScoringOptions(data: data, maxLength: maxLength, stride: stride, trainOn: trainOn)
    }
}

/// Flags of the commands that generate text.
struct GenerationFlags: ParsableArguments {
    @Option(help: "New tokens at most.")
    var maxTokens = 256

    @Option(help: "Divides the logits; 0 always takes the most probable token.")
    var temperature = 0.0

    @Option(help: "Keep so many of the most probable tokens.")
    var topK: Int?

    @Option(help: "Keep the most probable tokens whose probabilities reach this sum.")
    var topP = 1.0

    @Option(help: "Keep tokens at least this share as probable as the most probable one.")
    var minP = 0.0

    @Option(help: "Makes tokens that occurred already less likely; 1 leaves them.")
    var repetitionPenalty = 1.0

    @Option(help: "The seed of all draws.")
    var seed: UInt64 = 42

    @Option(help: "A system message before the prompt.")
    var system: String?

    @Option(help: "Threads to compute on; 0 is one a core.")
    var threads = 0

    func validate() throws {
        func check(_ isValid: Bool, _ message: String) throws { if !isValid { throw ValidationError(message) } }
        try check(maxTokens >= 1, "--max-tokens must be at least 1")
        try check(threads >= 0, "--threads must not be negative")
        try check(temperature >= 0 && temperature.isFinite, "--temperature must not be negative")
        try check(topK.map { $0 >= 1 } ?? true, "--top-k must be at least 1")
        try check(topP > 0 && topP <= 1, "--top-p must be above 0 and at most 1")
        try check(minP >= 0 && minP <= 1, "--min-p must lie between 0 and 1")
        try check(repetitionPenalty > 0 && repetitionPenalty.isFinite, "--repetition-penalty must be above 0")
    }

    /// The flags as the commands take them.
    func options() -> GenerationOptions {
        var options = GenerationOptions()
        options.maximumTokens = maxTokens
        options.sampling = SamplingOptions(
            temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
            seed: seed)
        options.system = system
        options.threads = threads
        return options
    }
}
