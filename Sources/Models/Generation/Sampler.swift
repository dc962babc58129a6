import Foundation
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

/// Chooses tokens; a draw depends on the seed, the prompt, the sample and the position only, not on what else is in the batch.
public struct Sampler: Sendable {
    private let options: SamplingOptions
    private let key: RandomKey

    /// Samples with the given options.
    public init(_ options: SamplingOptions) {
        self.options = options
        key = RandomKey(seed: options.seed, purpose: "sampling")
    }

    /// The next token, with transformers' order of things: penalty, temperature, top-k, top-p, min-p.
    ///
    /// - Parameters:
    ///   - logits: one a token of the vocabulary.
    ///   - history: the tokens that occurred, for the penalty.
    ///   - prompt: the number of the prompt.
    ///   - sample: the number of the sample of that prompt.
    ///   - position: of the new token.
    /// - Returns: the token.
    public func token(
        _ logits: UnsafeBufferPointer<Float>, history: [Int32], prompt: Int, sample: Int, position: Int
    ) -> Int32 {
        var scores = Array(logits)
        if options.repetitionPenalty != 1 {
            for token in Set(history) where scores.indices.contains(Int(token)) {
                let score = scores[Int(token)]
                let penalty = Float(options.repetitionPenalty)
                scores[Int(token)] = score > 0 ? score / penalty : score * penalty
            }
        }
        guard options.temperature > 0 else { return Self.largest(scores) }
        let kept = candidates(scores)
        var draw = key.uniform(prompt, sample, position) * kept.reduce(0) { $0 + $1.probability }
        for candidate in kept {
            draw -= candidate.probability
            if draw < 0 { return candidate.token }
        }
        return kept.last?.token ?? Self.largest(scores)
    }

    /// The tokens left after all cuts, most probable first, with probabilities that need not sum to 1.
    private func candidates(_ scores: [Float]) -> [(token: Int32, probability: Double)] {
        let top = Double(scores.max() ?? 0)
        var kept = scores.enumerated().map { index, score in
            (token: Int32(index), probability: exp((Double(score) - top) / options.temperature))
        }
        if options.minP > 0 { kept.removeAll { $0.probability < options.minP } }
        // Equal probabilities go by token, so that the order, and with it the draw, is the same everywhere.
        kept.sort { ($1.probability, $0.token) < ($0.probability, $1.token) }
        if let topK = options.topK { kept = Array(kept.prefix(max(1, topK))) }
        if options.topP < 1 {
            let limit = options.topP * kept.reduce(0) { $0 + $1.probability }
            var sum = 0.0
            let count = kept.firstIndex { candidate in
                sum += candidate.probability
                return sum >= limit
            }
            kept = Array(kept.prefix((count ?? kept.count - 1) + 1))
        }
        return kept
    }

    private static func largest(_ scores: [Float]) -> Int32 {
        var best = 0
        for index in scores.indices where scores[index] > scores[best] { best = index }
        return Int32(best)
    }
}
