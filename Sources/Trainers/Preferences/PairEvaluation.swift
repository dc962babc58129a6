import Datasets
import Files
import Models

/// How well a model tells the chosen answers of pairs from the rejected ones.
public struct PairEvaluation: Equatable, Sendable {
    /// By what answers are compared.
    public enum Score: String, Sendable {
        /// The log-ratio of the model with its adapters to the model without: DPO's reward over β.
        case implicitReward = "implicit_reward"
        /// The mean log-probability of an answer's tokens.
        case meanLogProbability = "mean_log_probability"
        /// The reward of the model's score head.
        case scoreHead = "score_head"
    }

    /// By what the answers were compared.
    public var score: Score
    /// The share of pairs whose chosen answer has the higher score.
    public var accuracy: Double
    /// Its standard error.
    public var accuracyStandardError: Double
    /// The mean difference of the scores: in nats, or of rewards, whose differences are log-odds.
    public var margin: Double
    /// Its standard error.
    public var marginStandardError: Double
    /// The pairs that were compared.
    public var pairs: Int
    /// Those that could not be: equal or empty answers, prompts that leave no room.
    public var skipped: Int
    /// What else is known of a score head's rewards.
    public var card: RewardCard?

    /// The result from the scores of each pair.
    public init(_ scores: [(chosen: Double, rejected: Double)], by score: Score, skipped: Int) {
        self.score = score
        (accuracy, accuracyStandardError) = meanAndError(scores.map { $0.chosen > $0.rejected ? 1 : 0 })
        (margin, marginStandardError) = meanAndError(scores.map { $0.chosen - $0.rejected })
        pairs = scores.count
        self.skipped = skipped
    }

    /// Compares the answers of pairs by the rewards of a model's score head.
    ///
    /// - Parameters:
    ///   - examples: the pairs.
    ///   - model: what rewards them.
    ///   - adapters: its active adapters.
    ///   - skipped: the rows left out beforehand.
    /// - Throws: `RunError` for a reward that is not finite.
    public init(rewardsOf examples: [Example], by model: CausalLM, adapters: [String], skipped: Int) throws {
        let judged = try RewardCard.judged(examples, by: model, adapters: adapters)
        self.init(judged.map { ($0.chosen, $0.rejected) }, by: .scoreHead, skipped: skipped)
        card = RewardCard(judged)
    }

    /// Compares the answers of pairs by their likelihoods.
    ///
    /// - Parameters:
    ///   - examples: the pairs.
    ///   - model: what scores them.
    ///   - adapters: its active adapters; with none, answers are compared by their mean log-probability.
    ///   - skipped: the rows left out beforehand.
    public init(_ examples: [Example], of model: CausalLM, adapters: [String], skipped: Int) {
        let policy = ReferenceModel.model(model, adapters: adapters)
        let base = ReferenceModel.model(model, adapters: [])
        let scores = examples.parts(ofTokens: Evaluator.tokensPerBatch).flatMap { part in
            let answers = policy.logProbabilities(part)
            let others = adapters.isEmpty ? nil : base.logProbabilities(part)
            return part.indices.map { pair -> (chosen: Double, rejected: Double) in
                let values = answers[pair].enumerated().map { answer, tokens in
                    others.map { tokens.total - $0[pair][answer].total } ?? tokens.total / Double(max(1, tokens.count))
                }
                return (values[0], values[1])
            }
        }
        self.init(scores, by: adapters.isEmpty ? .meanLogProbability : .implicitReward, skipped: skipped)
    }

    /// The numbers under the names of the command line's JSON. What is not a number is null.
    public var json: JSON {
        func value(_ number: Double) -> JSON { number.isFinite ? .number(number) : .null }
        let members: [(String, JSON)] = [
            ("by", .string(score.rawValue)), ("accuracy", value(accuracy)),
            ("accuracy_standard_error", value(accuracyStandardError)), ("margin", value(margin)),
            ("margin_standard_error", value(marginStandardError)), ("pairs", .integer(pairs)),
            ("skipped", .integer(skipped)),
        ]
        return JSON(members: members + (card.map { [("reward_card", $0.json)] } ?? []))
    }
}
