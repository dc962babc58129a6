import Foundation

/// Says of each token of a judged rollout how much better it was than expected.
public protocol Credit: Sendable {
    /// Fills advantages, and returns where there is a value head.
    ///
    /// - Parameters:
    ///   - rollout: judged; its groups are the answers of an example.
    ///   - klCoefficient: the weight of the KL penalty now.
    func assign(to rollout: inout Rollout, klCoefficient: Double)
    /// The divergence of an answer that is taken off its score; nil where that is a term of the loss, or nowhere.
    func divergence(of answer: JudgedAnswer) -> Double?
}

/// PPO's: the KL penalty is a reward of every token, the score one of the last; generalised advantages, whitened over all tokens.
public struct GeneralizedCredit: Credit {
    /// How much later rewards count.
    public var gamma = 1.0
    /// How far a surprise reaches back.
    public var lambda = 0.95
    /// How the KL of a token is estimated; nil where the KL is no reward.
    public var klEstimator: KLEstimator? = .k1
    /// Whether rewards are brought to variance 1 first, their mean kept.
    public var whitensRewards = false

    /// TRL's defaults.
    public init() {}

    /// By the estimator.
    public func divergence(of answer: JudgedAnswer) -> Double? {
        klEstimator.map { estimator in
            zip(answer.old, answer.reference).reduce(0) {
                $0 + estimator(policy: Double($1.0), reference: Double($1.1))
            }
        }
    }

    /// Fills advantages and returns.
    public func assign(to rollout: inout Rollout, klCoefficient: Double) {
        var rewards = rollout.allAnswers.map { tokenRewards($0, klCoefficient) }
        if whitensRewards {
            var white = whitened(rewards.flatMap { $0 }, keepsMean: true)[...]
            rewards = rewards.map { row in
                defer { white = white.dropFirst(row.count) }
                return Array(white.prefix(row.count))
            }
        }
        let credits = zip(rewards, rollout.allAnswers).map {
            generalizedAdvantages(rewards: $0, values: $1.values.map(Double.init), gamma: gamma, lambda: lambda)
        }
        var white = whitened(credits.flatMap(\.advantages))[...]
        var next = 0
        rollout.mapAnswers { answer in
            answer.advantages = white.prefix(answer.old.count).map { Float($0) }
            answer.returns = credits[next].returns.map { Float($0) }
            white = white.dropFirst(answer.old.count)
            next += 1
        }
    }

    private func tokenRewards(_ answer: JudgedAnswer, _ klCoefficient: Double) -> [Double] {
        var rewards = [Double](repeating: 0, count: answer.old.count)
        if let klEstimator {
            for t in rewards.indices {
                rewards[t] =
                    -klCoefficient * klEstimator(policy: Double(answer.old[t]), reference: Double(answer.reference[t]))
            }
        }
        if let last = rewards.indices.last { rewards[last] += answer.score }
        return rewards
    }
}

/// GRPO's: an answer is compared with the others of its group, and all of its tokens alike.
public struct GroupCredit: Credit {
    /// What differences are divided by.
    public var scaling = RewardScaling.group

    /// TRL's defaults.
    public init() {}

    /// GRPO's is a term of the loss.
    public func divergence(of answer: JudgedAnswer) -> Double? { nil }

    /// Fills advantages.
    public func assign(to rollout: inout Rollout, klCoefficient: Double) {
        let answers = rollout.allAnswers
        let size = rollout.answers.first?.count ?? 1
        assignAll(groupAdvantages(answers.map(\.score), size: size, scaling: scaling), to: &rollout)
    }
}

/// RLOO's: an answer is compared with the mean of the others; the KL of the whole answer (k1) is taken off its score.
public struct LeaveOneOutCredit: Credit {
    /// TRL's defaults.
    public init() {}

    /// The whole answer's (k1).
    public func divergence(of answer: JudgedAnswer) -> Double? { answer.divergence }

    /// Fills advantages.
    public func assign(to rollout: inout Rollout, klCoefficient: Double) {
        let scores = rollout.allAnswers.map { answer in
            klCoefficient == 0
                ? answer.score : answer.score - klCoefficient * (answer.divergence ?? 0)
        }
        assignAll(leaveOneOutAdvantages(scores, size: rollout.answers.first?.count ?? 1), to: &rollout)
    }
}

/// Gives every token of an answer the answer's advantage.
private func assignAll(_ advantages: [Double], to rollout: inout Rollout) {
    var next = 0
    rollout.mapAnswers { answer in
        answer.advantages = answer.old.map { _ in Float(advantages[next]) }
        next += 1
    }
}

extension Rollout {
    mutating func mapAnswers(_ body: (inout JudgedAnswer) -> Void) {
        for example in answers.indices {
            for answer in answers[example].indices { body(&answers[example][answer]) }
        }
    }
}
