extension Rollout {
    /// What its answers come to, under TRL's names.
    ///
    /// - Parameters:
    ///   - rewards: the names of the rewards that judged them.
    ///   - credit: what a divergence costs.
    ///   - klCoefficient: the weight of the KL penalty now; nil where there is no reference.
    /// - Returns: means over the answers.
    func measured(rewards: [String], credit: any Credit, klCoefficient: Double?) -> [String: Double] {
        let answers = allAnswers
        let score = answers.mean(\.score)
        var metrics = [
            "objective/scores": score,
            "objective/scores_std": answers.mean { ($0.score - score) * ($0.score - score) }.squareRoot(),
            "completions/mean_length": answers.mean { Double($0.old.count) },
            "completions/ended_share": answers.mean { $0.isStopped ? 1 : 0 },
            "rewards/length_correlation": correlation(answers.map(\.score), answers.map { Double($0.old.count) }),
        ]
        for (index, name) in rewards.enumerated() {
            metrics["rewards/\(name)/mean"] = answers.mean { $0.scores[index] }
        }
        metrics.merge(groupMetrics) { $1 }
        if let klCoefficient {
            metrics.merge(answers.divergenceMetrics(score: score, credit, coefficient: klCoefficient)) { $1 }
        }
        return metrics
    }

    /// How much answers differ, where there are several to a prompt; a group of one score teaches nothing.
    private var groupMetrics: [String: Double] {
        guard let size = answers.first?.count, size > 1 else { return [:] }
        return [
            "reward_std": deviation(allAnswers.map(\.score)[...]),
            "frac_reward_zero_std": Double(answers.count { isTie($0.map(\.score)) }) / Double(answers.count),
        ]
    }
}

extension [JudgedAnswer] {
    fileprivate func mean(_ number: (JudgedAnswer) -> Double) -> Double { map(number).mean }

    /// How far the policy is from its reference, and what the penalty leaves of the score.
    fileprivate func divergenceMetrics(score: Double, _ credit: any Credit, coefficient: Double) -> [String: Double] {
        let kl = mean { $0.old.total - $0.reference.total }
        let k3 = mean { answer in
            zip(answer.old, answer.reference).reduce(0) {
                $0 + KLEstimator.k3(policy: Double($1.0), reference: Double($1.1))
            }
        }
        let cost = coefficient * mean { credit.divergence(of: $0) ?? 0 }
        return [
            "objective/kl": kl, "objective/kl_k3": k3, "objective/kl_coef": coefficient,
            "objective/non_score_reward": -cost, "objective/rlhf_reward": score - cost,
        ]
    }
}
