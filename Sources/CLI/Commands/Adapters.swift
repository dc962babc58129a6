import ArgumentParser
import Files
import Recipes

struct AdapterCommands: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adapters", abstract: "Works on adapters without training them.", subcommands: [Combine.self])
}

struct Combine: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Combines LoRA adapters of one base model into one.",
        discussion: """
            The types are those of PEFT's add_weighted_adapter, and the result is a plain LoRA folder. cat is the exact sum of the \
            updates, svd that sum at a lower rank; linear adds A and B apart, which is another thing. With --data and --model it \
            prints the perplexity of the base, of each adapter and of the result.
            """)

    @Argument(help: "The adapters' folders, two or more; one alone can be cut to a lower rank by svd.")
    var adapters: [String]

    @Option(help: "The folder to write; must not exist.")
    var output: String

    @Option(
        help: """
            How: linear, cat, svd, ties, dare_linear, dare_ties, magnitude_prune, or ties_svd, dare_linear_svd, dare_ties_svd, \
            magnitude_prune_svd.
            """)
    var combinationType = "svd"

    @Option(
        help: ArgumentHelp(
            "One weight an adapter, 1 each if left out; a negative one takes its update away. Several times with --grid.",
            valueName: "w,w,…"))
    var weights: [String] = []

    @Option(help: "The share of numbers that stay, for ties, dare and magnitude_prune. Several times with --grid.")
    var density: [Double] = []

    @Option(help: "How ties elects signs: total or frequency.")
    var majoritySignMethod = "total"

    @Option(help: "The rank of the result of svd and the _svd types. [default: the highest of the adapters']")
    var svdRank: Int?

    @Option(
        help:
            "The quantile of the result's numbers beyond which svd and the _svd types cut them, on both sides of zero.")
    var svdClamp: Double?

    @Option(help: "The seed of what dare drops.")
    var seed: UInt64 = 0

    @Flag(
        help: """
            Try every given choice of weights with every density, rank them by perplexity and write the best. Without weights it tries \
            those that add up to 1 in quarters, without densities 0.2, 0.4, 0.6 and 0.8.
            """)
    var grid = false

    @Option(help: "The base model, for --data: a .gguf file, a Hugging Face folder, or org/name in the local cache.")
    var model: String?

    @Option(help: "Rows to score the adapters and the result on.")
    var data: String?

    @Option(help: "Where rows are cut, in tokens. [default: the model's context, 2048 at most]")
    var maxLength: Int?

    @OptionGroup var outputOptions: OutputOptions

    func validate() throws {
        guard (model == nil) == (data == nil) else { throw ValidationError("--model and --data need each other") }
        guard !grid || data != nil else { throw ValidationError("--grid needs --data and --model to rank by") }
        guard grid || weights.count <= 1 && density.count <= 1 else {
            throw ValidationError("several --weights or --density need --grid")
        }
    }

    func run() throws {
        let report = try Commands.combine(
            adapters: adapters, combinations(), output: output, scoring: scoring(), observer: Console().show)
        try StandardOutput.write(outputOptions.json ? report.json.text(.spaced) + "\n" : report.text)
    }

    private func combinations() throws -> [Combination] {
        let weights = try weights.map(Self.numbers)
        let combination = Combination(
            try Commands.combinationType(combinationType),
            weights: weights.first ?? Array(repeating: 1, count: adapters.count), density: density.first,
            majoritySign: try Commands.majoritySign(majoritySignMethod), svdRank: svdRank, svdClamp: svdClamp,
            seed: seed)
        guard grid else { return [combination] }
        return CombinationGrid(combination, weights: weights, densities: density, adapters: adapters.count).combinations
    }

    private func scoring() throws -> (model: ModelSettings, rows: ScoringOptions)? {
        guard let model, let data else { return nil }
        return (
            try ModelSettings(path: model, precision: nil, weights: nil),
            ScoringOptions(data: data, maxLength: maxLength)
        )
    }

    /// `0.5,-1` as numbers.
    private static func numbers(_ text: String) throws -> [Double] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let number = Double(part.trimmingPrefix(while: \.isWhitespace)) else {
                throw InputError("`--weights` are numbers with commas between them, not \"\(text)\"")
            }
            return number
        }
    }
}
