import Files
import Tensors

/// How the next token is chosen from its logits.
public struct SamplingOptions: Hashable, Sendable {
    /// Divides the logits; 0 is greedy: always the most probable token.
    public var temperature: Double
    /// Keep only the `topK` most probable tokens; nil for all.
    public var topK: Int?
    /// Keep the smallest set of most probable tokens whose probabilities reach this sum; 1 for all.
    public var topP: Double
    /// Keep tokens at least this share as probable as the most probable one; 0 for all.
    public var minP: Double
    /// Divides positive logits of tokens that occurred already, and multiplies negative ones (Keskar et al. 2019); 1 for none.
    public var repetitionPenalty: Double
    /// The seed of all draws.
    public var seed: UInt64

    /// Makes options; the defaults are greedy.
    public init(
        temperature: Double = 0, topK: Int? = nil, topP: Double = 1, minP: Double = 0, repetitionPenalty: Double = 1,
        seed: UInt64 = 42
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
    }
}

/// Chooses tokens, in transformers' order of things: penalty, forbidden tokens, temperature, top-k, top-p, min-p.
///
/// A draw depends on the seed, the prompt, the sample and the position only, not on what else is in the batch. It runs through the
/// kept tokens in the order of their ids; equally probable tokens are cut with the higher id first.
public struct Sampler: Sendable {
    private let options: SamplingOptions
    private let key: RandomKey

    /// Samples with the given options.
    public init(_ options: SamplingOptions) {
        self.options = options
        key = RandomKey(seed: options.seed, purpose: "sampling")
    }

    /// Whether ``token(_:row:seen:forbidden:at:)`` looks at the tokens that occurred.
    public var penalizesRepetition: Bool { options.repetitionPenalty != 1 }

    /// What a draw depends on besides the seed.
    public struct Place: Hashable, Sendable {
        /// The number of the prompt.
        public var prompt: Int
        /// The number of the sample of that prompt.
        public var sample: Int
        /// The position of the new token.
        public var position: Int

        /// Makes a place.
        public init(prompt: Int, sample: Int, position: Int) {
            self.prompt = prompt
            self.sample = sample
            self.position = position
        }
    }

    /// The next token.
    ///
    /// - Parameters:
    ///   - logits: `[rows, vocabulary]`.
    ///   - row: which of them.
    ///   - seen: the tokens that occurred, for the penalty.
    ///   - forbidden: tokens that must not come now.
    ///   - place: what the draw depends on.
    /// - Returns: the token.
    /// - Throws: `RunError` where the logits are no numbers.
    public func token(
        _ logits: Tensor, row: Int, seen: Set<Int32> = [], forbidden: Set<Int32> = [], at place: Place
    ) throws -> Int32 {
        let scores = adjusted(logits[rows: row..<row + 1], seen: seen, forbidden: forbidden)
        guard let best = scores.largestIndex(row: 0), case let top = scores.withFloats({ $0[best] }), top.isFinite
        else {
            throw RunError("the model computes no numbers: logits are not finite")
        }
        guard options.temperature > 0 else { return Int32(best) }
        let (probabilities, sums) = scores.exponentials(
            row: 0, maximum: top, factor: Float(1 / options.temperature))
        let uniform = key.uniform(place.prompt, place.sample, place.position)
        return probabilities.withFloats { probabilities in
            if options.topK == nil && options.topP >= 1 && options.minP <= 0 {
                return Self.drawn(uniform, from: probabilities, blockSums: sums)
            }
            let candidates = Candidates(probabilities, total: sums.reduce(0, +), options)
            return candidates.drawn(uniform)
        }
    }

    /// The scores after penalty and forbidden tokens: the logits themselves where there are none.
    private func adjusted(_ logits: Tensor, seen: Set<Int32>, forbidden: Set<Int32>) -> Tensor {
        guard (penalizesRepetition && !seen.isEmpty) || !forbidden.isEmpty else { return logits }
        let scores = logits.copied()
        let penalty = Float(options.repetitionPenalty)
        scores.withMutableFloats { scores in
            for token in seen where penalizesRepetition && scores.indices.contains(Int(token)) {
                let score = scores[Int(token)]
                scores[Int(token)] = score > 0 ? score / penalty : score * penalty
            }
            for token in forbidden where scores.indices.contains(Int(token)) { scores[Int(token)] = -.infinity }
        }
        return scores
    }

    /// The token at a share of the whole: first its block, then the token in it.
    private static func drawn(
        _ uniform: Double, from probabilities: UnsafeBufferPointer<Float>, blockSums: [Double]
    ) -> Int32 {
        var rest = uniform * blockSums.reduce(0, +)
        var block = 0
        while block + 1 < blockSums.count && rest >= blockSums[block] {
            rest -= blockSums[block]
            block += 1
        }
        let start = block * Tensor.exponentialBlock
        var last = start
        for token in start..<min(probabilities.count, start + Tensor.exponentialBlock) where probabilities[token] > 0 {
            last = token
            rest -= Double(probabilities[token])
            if rest < 0 { break }
        }
        return Int32(last)
    }
}
