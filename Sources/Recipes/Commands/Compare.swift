import Datasets
import Files
import Foundation
import Trainers

/// The same tokens under several models, side by side.
public struct Comparison: Sendable {
    /// One model beside the base.
    public struct Entry: Sendable {
        /// `adapter` or `merged`.
        public var name: String
        /// Its likelihood of the rows.
        public var result: EvaluationResult
        /// Its mean negative log-likelihood minus the base's, on the same tokens.
        public var difference: Double
        /// The standard error of that difference, clustered by row: smaller than the errors of the two, which share their rows.
        public var differenceStandardError: Double
        /// Its logits against those of the model it is compared with.
        public var logits: LogitDifference
        /// What `logits` compares it with: the base, or for a merged model the adapter.
        public var logitsAgainst: String
    }

    /// The base model's likelihood of the rows.
    public var base: EvaluationResult
    /// The others.
    public var entries: [Entry]

    /// The comparison as an object.
    public var json: JSON {
        .object(
            .init(
                [("base", base.json)]
                    + entries.map { entry in
                        (
                            entry.name,
                            .object(
                                entry.result.json.object.map { members in
                                    var members = members
                                    members["nll_difference"] = .number(entry.difference)
                                    members["nll_difference_standard_error"] = .number(entry.differenceStandardError)
                                    members["logits_against"] = .string(entry.logitsAgainst)
                                    members["max_logit_difference"] = .number(entry.logits.maximum)
                                    members["mean_logit_difference"] = .number(entry.logits.mean)
                                    members["mean_kl"] = .number(entry.logits.meanKL)
                                    return members
                                } ?? [:])
                        )
                    }, uniquingKeysWith: { $1 }))
    }
}

extension Commands {
    /// Tokens of the rows over which logits are compared; likelihoods are over all.
    static let logitTokens = 2048

    /// Scores base, adapter and merged model on the same tokens.
    ///
    /// - Parameters:
    ///   - settings: the base model.
    ///   - adapter: an adapter's folder.
    ///   - merged: a merged model's folder; nil to leave it out.
    ///   - options: the rows.
    ///   - observer: takes remarks.
    /// - Returns: likelihoods, paired differences and logit differences.
    /// - Throws: ``InputError`` for anything that cannot be read, or a merged model with another vocabulary.
    public static func compare(
        _ settings: ModelSettings, adapter: String, merged: String? = nil, options: ScoringOptions,
        observer: RunObserver = { _ in }
    ) throws -> Comparison {
        let settings = try settings.adopting(storageOf: [adapter], observer: observer)
        let session = try ModelSession(settings, observer: observer)
        let active = try session.attach([adapter], observer: observer)
        let examples = try options.rows(for: session, observer: observer).examples
        let probe = Self.probe(examples)
        let baseScores = Evaluator(session.model, adapters: []).logProbabilities(examples)
        let adapterScores = Evaluator(session.model, adapters: active).logProbabilities(examples)
        let base = LogitRecord(session.model, adapters: [], probe)
        let adapted = LogitRecord(session.model, adapters: active, probe)
        var entries = [
            Comparison.Entry("adapter", adapterScores, against: baseScores, examples, base.difference(adapted), "base")
        ]
        if let merged {
            var mergedSettings = settings
            mergedSettings.path = merged
            // What was merged is not meant to be quantised again.
            if settings.storage.isQuantized { mergedSettings.storage = .f32 }
            let other = try ModelSession(mergedSettings)
            guard other.model.configuration.vocabularySize == session.model.configuration.vocabularySize else {
                throw InputError("the merged model has another vocabulary than the base", file: merged)
            }
            let scores = Evaluator(other.model, adapters: []).logProbabilities(examples)
            let logits = LogitRecord(other.model, adapters: [], probe)
            entries.append(
                Comparison.Entry("merged", scores, against: baseScores, examples, adapted.difference(logits), "adapter")
            )
        }
        return Comparison(base: Evaluator.result(baseScores, of: examples), entries: entries)
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

extension Comparison.Entry {
    fileprivate init(
        _ name: String, _ scores: [[Float]], against base: [[Float]], _ examples: [Example], _ logits: LogitDifference,
        _ logitsAgainst: String
    ) {
        let differences = zip(scores, base).map { zip($0, $1).map { $0 - $1 } }
        let paired = Evaluator.result(differences, of: examples)
        self.init(
            name: name, result: Evaluator.result(scores, of: examples), difference: paired.nll,
            differenceStandardError: paired.nllStandardError, logits: logits, logitsAgainst: logitsAgainst)
    }
}
