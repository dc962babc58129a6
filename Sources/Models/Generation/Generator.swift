import Files
import Layers
import Tensors

/// How much is generated, and how.
public struct DecodingOptions: Sendable {
    /// New tokens of a sample at most.
    public var maximumTokens: Int
    /// New tokens of a sample at least: stop tokens are forbidden before.
    public var minimumTokens = 0
    /// How many samples of each prompt; they share the prompt's keys and values.
    public var samplesPerPrompt = 1
    /// How tokens are chosen.
    public var sampling = SamplingOptions()
    /// Samples that grow side by side at most; the others wait until one has ended. Bounds memory, changes no token.
    public var maximumSequences = 64
    /// Prompts are read together, up to so many tokens in a pass; a longer prompt has a pass to itself.
    public var prefillTokens = 2048
    /// So many tokens begin every prompt, and are not all of any: they are read once.
    public var sharedPrefix = 0
    /// How keys and values are stored: f32 or bf16.
    public var cacheType = DType.f32

    /// Options with defaults for all but the length.
    public init(maximumTokens: Int) { self.maximumTokens = maximumTokens }
}

/// One continuation of a prompt.
public struct GeneratedSample: Equatable, Sendable {
    /// The new tokens; a stop token that ended it is the last.
    public var tokens: [Int32]
    /// Whether a stop token ended it, and not the limit, the model's context or the caller.
    public var isStopped: Bool
}

/// A token as it comes.
public struct GeneratedToken: Equatable, Sendable {
    /// The number of the prompt.
    public var prompt: Int
    /// The number of the sample of that prompt.
    public var sample: Int
    /// The token; a stop token too.
    public var token: Int32
}

/// Where the time of a generation went.
public struct GenerationStatistics: Sendable {
    /// Tokens of prompts read; a prompt's samples share it.
    public var promptTokens = 0
    /// Tokens generated.
    public var newTokens = 0
    /// Seconds in all.
    public var seconds = 0.0
    /// Of those, seconds in which prompts were read.
    public var promptSeconds = 0.0

    /// No tokens in no time.
    public init() {}
}

/// Continues prompts with a cache of keys and values: many samples side by side. One that has ended leaves the batch, and one that
/// waits takes its place.
///
/// A sample's tokens depend on the model, the seed, the prompt and its number, and the sample's number only, not on what else is
/// generated: to the bit.
public struct Generator {
    private let model: CausalLM
    private let adapters: [String]
    private let stopTokens: Set<Int32>

    /// Generates under `model` with the named adapters active, until one of `stopTokens`.
    public init(_ model: CausalLM, adapters: [String] = [], stopTokens: Set<Int32>) {
        self.model = model
        self.adapters = adapters
        self.stopTokens = stopTokens
    }

    /// Continues each prompt.
    ///
    /// - Parameters:
    ///   - prompts: token ids, at least one each.
    ///   - numbers: the prompts' numbers in draws, such as dataset rows; 0, 1, … where nil.
    ///   - options: how much and how.
    ///   - statistics: is added to.
    ///   - onToken: takes each token as it comes; returns false to end that sample.
    /// - Returns: for each prompt its samples, in order.
    /// - Throws: `InputError` for an empty prompt, or one that leaves no room in the model's context; `RunError` where the model gives
    ///   no numbers; what `onToken` throws.
    public func generate(
        _ prompts: [[Int32]], numbers: [Int]? = nil, options: DecodingOptions,
        statistics: inout GenerationStatistics, onToken: (GeneratedToken) throws -> Bool = { _ in true }
    ) throws -> [[GeneratedSample]] {
        try check(prompts)
        precondition(numbers.map { $0.count == prompts.count } ?? true, "\(prompts.count) prompts, other numbers")
        guard options.maximumTokens > 0 else {
            return prompts.map { _ in
                Array(repeating: GeneratedSample(tokens: [], isStopped: false), count: options.samplesPerPrompt)
            }
        }
        let start = ContinuousClock.now
        var batch = GenerationBatch(
            model, adapters: adapters, stopTokens: stopTokens, prompts: prompts, numbers: numbers, options: options)
        while try batch.step(&statistics, onToken) {}
        statistics.seconds += (ContinuousClock.now - start) / .seconds(1)
        return batch.results
    }

    /// Continues each prompt; see ``generate(_:numbers:options:statistics:onToken:)``.
    public func generate(
        _ prompts: [[Int32]], numbers: [Int]? = nil, options: DecodingOptions,
        onToken: (GeneratedToken) throws -> Bool = { _ in true }
    ) throws -> [[GeneratedSample]] {
        var statistics = GenerationStatistics()
        return try generate(prompts, numbers: numbers, options: options, statistics: &statistics, onToken: onToken)
    }

    private func check(_ prompts: [[Int32]]) throws {
        let virtual = model.virtualTokenCount(adapters)
        let limit = model.configuration.maximumPositions - virtual
        for prompt in prompts {
            guard !prompt.isEmpty else { throw InputError("a prompt without tokens") }
            guard prompt.count < limit else {
                let added = virtual == 0 ? "" : ", of which the adapter's virtual tokens take \(virtual)"
                throw InputError(
                    "a prompt of \(prompt.count) tokens fills the model's context of \(limit + virtual)\(added)")
            }
        }
    }
}
