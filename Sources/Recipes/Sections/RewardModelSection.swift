import Models
import Trainers

/// `objective: { type: reward }`: a reward model from preference pairs; keys and defaults are those of TRL's `RewardConfig`.
public struct RewardModelSettings: Equatable, Sendable {
    /// The loss.
    public var loss = RewardLoss()

    /// The defaults.
    public init() {}

    /// Nil where rewards are not centred.
    fileprivate var centering: Double? {
        get { loss.centering == 0 ? nil : loss.centering }
        set { loss.centering = newValue ?? 0 }
    }
}

extension RewardModelSettings: RecipeSection {
    static let name = SFTSettings.name
    static let summary = SFTSettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "center_rewards_coefficient", optional: \.centering, range: .atLeast(0),
                "The weight of (chosen + rejected)², which keeps rewards around zero; its paper takes 0.01.")
        ]
    }
}

extension Recipe {
    /// What the model's head is to say. A fresh score head is drawn under the run's seed.
    var modelTask: ModelTask {
        if case .reward = objective { .sequenceClassification(seed: UInt64(training.seed)) } else { .languageModel }
    }
}
