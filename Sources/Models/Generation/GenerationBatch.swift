import Layers
import Tensors

/// A generation under way: prompts that wait to be read, samples that wait for a place, and samples that grow.
struct GenerationBatch {
    /// A sample that has its first token and wants more.
    private struct Sample {
        let prompt: Int
        let number: Int
        /// Those of virtual tokens, which all samples read; the prompt's, which all its samples read; then the sample's own.
        var segments: [KeyValueSegment]
        var last: Int32
        var position: Int
        /// The tokens that occurred, where the sampler asks.
        var seen: Set<Int32>
    }

    /// Prompts of at most so many tokens are read by the products of decoding, which do not pack weights for many rows first.
    private static let shortPrompt = 32
    /// Room for so many of its own tokens is made at a time for a sample.
    private static let ownTokens = 256

    private let model: CausalLM
    private let adapters: [String]
    private let stopTokens: Set<Int32>
    private let prompts: [[Int32]]
    private let numbers: [Int]?
    private let options: DecodingOptions
    private let sampler: Sampler
    /// What stands before every prompt: virtual tokens, and the tokens that all begin with.
    private let leading: [KeyValueSegment]
    /// The tokens there is room for behind that.
    private let positions: Int
    private(set) var results: [[GeneratedSample]]
    private var nextPrompt = 0
    private var waiting: [Sample] = []
    private var active: [Sample] = []
    private var cache = KVCache([])
    /// Whether samples have left since the cache was made.
    private var hasLeft = false

    init(
        _ model: CausalLM, adapters: [String], stopTokens: Set<Int32>, prompts: [[Int32]], numbers: [Int]?,
        options: DecodingOptions
    ) {
        self.model = model
        self.adapters = adapters
        self.stopTokens = stopTokens
        self.prompts = prompts
        self.numbers = numbers
        self.options = options
        sampler = Sampler(options.sampling)
        let virtual = model.virtualSegments(adapters, dtype: options.cacheType)
        leading = virtual + model.prefixSegments(prompts, after: virtual, adapters, options)
        positions = model.configuration.maximumPositions - model.virtualTokenCount(adapters)
        let empty = GeneratedSample(tokens: [], isStopped: false)
        results = prompts.map { _ in Array(repeating: empty, count: options.samplesPerPrompt) }
    }

    /// Fills free places, then gives each active sample a token. False when all is done.
    mutating func step(
        _ statistics: inout GenerationStatistics, _ onToken: (GeneratedToken) throws -> Bool
    ) throws -> Bool {
        try fillPlaces(&statistics, onToken)
        guard !active.isEmpty else { return false }
        let layout = cache.layout(appending: active.map { _ in 1 })
        let context = ForwardContext(layout, adapters: adapters, keyValues: cache, isDecoding: true)
        let logits = model.logits(active.map(\.last), rows: (0..<Int32(active.count)).map { $0 }, context)
        cache.advance()
        var going: [Sample] = []
        for (row, sample) in active.enumerated() {
            if let sample = try advanced(sample, logits, row: row, onToken) { going.append(sample) }
        }
        statistics.newTokens += active.count
        hasLeft = going.count < active.count
        active = going
        return true
    }

    /// Brings waiting samples in, reading further prompts where there are none, and makes room for each sample's next token.
    private mutating func fillPlaces(
        _ statistics: inout GenerationStatistics, _ onToken: (GeneratedToken) throws -> Bool
    ) throws {
        let places = max(1, options.maximumSequences)
        while active.count < places && (!waiting.isEmpty || nextPrompt < prompts.count) {
            if waiting.isEmpty {
                let start = ContinuousClock.now
                try readPrompts(&statistics, onToken)
                statistics.promptSeconds += (ContinuousClock.now - start) / .seconds(1)
            }
            let entering = min(places - active.count, waiting.count)
            active += waiting[..<entering]
            waiting.removeFirst(entering)
        }
        var isChanged = hasLeft
        for index in active.indices
        where active[index].segments.count == leading.count + 1 || active[index].segments.last?.isFull ?? true {
            active[index].segments.append(ownSegment(active[index]))
            isChanged = true
        }
        if isChanged { cache = KVCache(active.map(\.segments)) }
        hasLeft = false
    }

    /// Room for the next tokens of a sample: what it may still read, in parts.
    private func ownSegment(_ sample: Sample) -> KeyValueSegment {
        let promptCount = prompts[sample.prompt].count
        let most = min(options.maximumTokens, positions - promptCount) - 1
        let left = most - (sample.position - 1 - promptCount)
        return KeyValueSegment(
            model.configuration, capacity: max(1, min(left, Self.ownTokens)), dtype: options.cacheType)
    }

    /// Reads the next prompts in one pass and draws the first token of each of their samples.
    private mutating func readPrompts(
        _ statistics: inout GenerationStatistics, _ onToken: (GeneratedToken) throws -> Bool
    ) throws {
        let range = promptsOfAPass()
        nextPrompt = range.upperBound
        let counts = prompts[range].map { $0.count - options.sharedPrefix }
        let segments = counts.map {
            KeyValueSegment(model.configuration, capacity: $0, dtype: options.cacheType)
        }
        let cache = KVCache(segments.map { leading + [$0] })
        let context = ForwardContext(
            cache.layout(appending: counts), adapters: adapters, keyValues: cache, isDecoding: isShort(range.lowerBound)
        )
        var end: Int32 = 0
        let last = counts.map { count -> Int32 in
            end += Int32(count)
            return end - 1
        }
        let logits = model.logits(prompts[range].flatMap { $0.dropFirst(options.sharedPrefix) }, rows: last, context)
        cache.advance()
        statistics.promptTokens += Int(end)
        for (row, prompt) in range.enumerated() {
            let seen = sampler.penalizesRepetition ? Set(prompts[prompt]) : []
            for number in 0..<options.samplesPerPrompt {
                let sample = Sample(
                    prompt: prompt, number: number, segments: leading + [segments[row]], last: 0,
                    position: prompts[prompt].count, seen: seen)
                if let sample = try advanced(sample, logits, row: row, onToken) { waiting.append(sample) }
                statistics.newTokens += 1
            }
        }
    }

    /// The next prompts that fit in a pass, all of them short or none; at least one.
    private func promptsOfAPass() -> Range<Int> {
        var (end, tokens) = (nextPrompt, 0)
        while end < prompts.count {
            tokens += prompts[end].count - options.sharedPrefix
            if end > nextPrompt && (tokens > options.prefillTokens || isShort(end) != isShort(nextPrompt)) { break }
            end += 1
        }
        return nextPrompt..<end
    }

    private func isShort(_ prompt: Int) -> Bool { prompts[prompt].count - options.sharedPrefix <= Self.shortPrompt }

    /// Draws a sample's next token; nil where that is its last.
    private mutating func advanced(
        _ sample: Sample, _ logits: Tensor, row: Int, _ onToken: (GeneratedToken) throws -> Bool
    ) throws -> Sample? {
        var sample = sample
        let (prompt, number) = (sample.prompt, sample.number)
        let count = results[prompt][number].tokens.count + 1
        let token = try sampler.token(
            logits, row: row, seen: sample.seen, forbidden: count <= options.minimumTokens ? stopTokens : [],
            at: .init(prompt: numbers?[prompt] ?? prompt, sample: number, position: sample.position))
        results[prompt][number].tokens.append(token)
        results[prompt][number].isStopped = stopTokens.contains(token)
        let goesOn = try onToken(.init(prompt: prompt, sample: number, token: token))
        guard goesOn, !stopTokens.contains(token), count < options.maximumTokens,
            sample.position + 1 < positions
        else { return nil }
        sample.last = token
        sample.position += 1
        if sampler.penalizesRepetition { sample.seen.insert(token) }
        return sample
    }
}
