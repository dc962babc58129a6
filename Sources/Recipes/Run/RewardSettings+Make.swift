import Files
import Trainers

extension RolloutSettings {
    /// What judges the answers.
    ///
    /// - Throws: `InputError` for a pattern that is no regular expression.
    func makeRewards() throws -> RewardMixture {
        RewardMixture(
            try rewards.map {
                RewardMixture.Part(
                    name: $0.metricName, weight: $0.weight, reward: try $0.reward.makeReward())
            })
    }
}

extension RewardChoice {
    fileprivate func makeReward() throws -> any Reward {
        switch self {
        case .regex(let settings):
            RegularExpressionReward(try RegularExpression(settings.pattern, key: "objective.rewards.pattern"))
        case .json: JSONReward()
        case .exactMatch: ExactMatchReward()
        case .length(let settings):
            LengthReward(settings.minimum...(settings.maximum ?? .max), unit: settings.unit)
        case .repetition(let settings): RepetitionReward(words: settings.words)
        case .command(let settings): CommandReward(settings.command, timeout: settings.timeout)
        }
    }
}
