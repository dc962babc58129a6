import Adapters
import Files
import Models
import Trainers

/// What rewards stand on.
struct RewardMaking {
    let recipe: Recipe
    let session: ModelSession
    let weights: TrainedWeights
    let observer: RunObserver

    /// What judges the answers.
    ///
    /// - Throws: `InputError` for a pattern that is no regular expression, or a reward model that is none or has other tokens.
    func mixture(of settings: RolloutSettings) throws -> RewardMixture {
        RewardMixture(
            try settings.rewards.enumerated().map { index, settings in
                RewardMixture.Part(
                    name: settings.metricName, weight: settings.weight,
                    reward: try reward(settings.reward, named: "reward-\(index)"))
            })
    }

    private func reward(_ choice: RewardChoice, named name: String) throws -> any Reward {
        switch choice {
        case .regex(let settings):
            RegularExpressionReward(try RegularExpression(settings.pattern, key: "objective.rewards.pattern"))
        case .json: JSONReward()
        case .exactMatch: ExactMatchReward()
        case .length(let settings):
            LengthReward(settings.minimum...(settings.maximum ?? .max), unit: settings.unit)
        case .repetition(let settings): RepetitionReward(words: settings.words)
        case .command(let settings): CommandReward(settings.command, timeout: settings.timeout)
        case .model(let settings):
            try session.modelReward(
                RewardModelSource(path: settings.path, base: settings.base), named: name, settings: recipe.model,
                weights: weights, tokensPerPass: recipe.training.tokensPerPass, observer: observer)
        }
    }
}

extension Recipe {
    /// The reward models that judge answers.
    var rewardModels: [ModelRewardSettings] {
        (objective.policy?.rollouts.rewards ?? []).compactMap {
            if case .model(let settings) = $0.reward { settings } else { nil }
        }
    }
}

extension ModelRewardSettings {
    /// The hash of what judges, for a run that is resumed.
    func contentHash() throws -> String {
        let weights = path + "/" + AdapterFolder.weightsName
        guard case .file = PathKind(weights) else { return try openCheckpoint(path).contentHash() }
        let below = try base.map { try openCheckpoint($0).contentHash() }
        let settings = try ContentHash.ofFile(path + "/" + AdapterFolder.configurationName)
        return ([try ContentHash.ofFile(weights), settings] + (below.map { [$0] } ?? [])).joined(separator: " ")
    }
}
