import Datasets
import Files
import Foundation
import Models
import Trainers

/// The same tokens under several models, side by side.
public struct Comparison: Sendable {
    /// One model beside the base.
    public struct Entry: Sendable {
        /// `adapter`, `merged` or `requantised`.
        public var name: String
        /// Its likelihood of the rows.
        public var result: EvaluationResult
        /// Its mean negative log-likelihood minus the base's, on the same tokens.
        public var difference: Double
        /// The standard error of that difference, clustered by row: smaller than the errors of the two, which share their rows.
        public var differenceStandardError: Double
        /// Its logits against those of the model it is compared with.
        public var logits: LogitDifference
        /// What `logits` compares it with: the base, or where there is one the adapter.
        public var logitsAgainst: String
    }

    /// The base model's likelihood of the rows.
    public var base: EvaluationResult
    /// The others.
    public var entries: [Entry]

    /// The comparison as an object.
    public var json: JSON {
        JSON(members: [("base", base.json)] + entries.map { ($0.name, $0.json) })
    }
}

extension Comparison.Entry {
    fileprivate var json: JSON {
        let members = (result.json.object ?? [:]).merging([
            ("nll_difference", .number(difference)),
            ("nll_difference_standard_error", .number(differenceStandardError)),
            ("logits_against", .string(logitsAgainst)), ("max_logit_difference", .number(logits.maximum)),
            ("mean_logit_difference", .number(logits.mean)), ("mean_kl", .number(logits.meanKL)),
        ]) { $1 }
        return .object(members)
    }
}

/// Scores one model after the other on the same rows, and compares the logits of the first of them.
struct SideBySide {
    /// Tokens of the rows over which logits are compared; likelihoods are over all.
    static let logitTokens = 2048

    private(set) var comparison: Comparison
    private let examples: [Example]
    private let probe: [[Int32]]
    private let baseScores: [[Float]]
    private var reference: (name: String, logits: LogitRecord)

    /// Scores the base.
    init(_ base: CausalLM, _ examples: [Example]) throws {
        self.examples = examples
        probe = Self.probe(examples)
        baseScores = Evaluator(base, adapters: []).logProbabilities(examples)
        comparison = Comparison(base: try Self.checked(Evaluator.result(baseScores, of: examples), "base"), entries: [])
        reference = ("base", LogitRecord(base, adapters: [], probe))
    }

    /// Scores another model. Those after an adapter are compared with it, and not with the base.
    mutating func add(_ name: String, _ model: CausalLM, adapters: [String] = []) throws {
        let scores = Evaluator(model, adapters: adapters).logProbabilities(examples)
        let logits = LogitRecord(model, adapters: adapters, probe)
        let paired = Evaluator.result(
            zip(scores, baseScores).map { zip($0, $1).map { $0 - $1 } }, of: examples)
        comparison.entries.append(
            Comparison.Entry(
                name: name, result: try Self.checked(Evaluator.result(scores, of: examples), name),
                difference: paired.nll, differenceStandardError: paired.nllStandardError,
                logits: reference.logits.difference(logits), logitsAgainst: reference.name))
        if !adapters.isEmpty { reference = (name, logits) }
    }

    private static func checked(_ result: EvaluationResult, _ name: String) throws -> EvaluationResult {
        guard result.nll.isFinite else {
            throw RunError("the likelihoods of the \(name) model are not finite: its weights are damaged")
        }
        return result
    }

    /// The first rows, as many as hold ``logitTokens`` tokens.
    private static func probe(_ examples: [Example]) -> [[Int32]] {
        var left = logitTokens
        return examples.prefix { example in
            defer { left -= example.tokens.count }
            return left > 0
        }.map { Array($0.tokens.prefix(logitTokens)) }
    }
}
