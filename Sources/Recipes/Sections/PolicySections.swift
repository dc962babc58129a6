import Trainers

extension KLEstimator: RecipeChoice {}

extension PPO.KLPlace: RecipeChoice {}

extension GRPO.LossType: RecipeChoice {}

extension GRPO.RatioOf: RecipeChoice {}

extension RewardScaling: RecipeChoice {}

extension OnlinePairLoss.LossType: RecipeChoice {}

/// `objective: { type: ppo }`: proximal policy optimisation with a value head; keys and defaults are those of TRL's `PPOConfig`.
public struct PPOSettings: Equatable, Sendable {
    /// The method.
    public var method = PPO()
    /// How answers are made.
    public var rollouts = RolloutSettings(longestAnswer: 53, temperature: 0.7, iterations: 4)
    /// What the policy is kept near to.
    public var reference = ReferenceChoice.auto

    /// The defaults, without a reward.
    public init() {}
}

extension PPOSettings: PolicySettings {
    static var keys: [RecipeKey<Self>] {
        sharedKeys + [
            RecipeKey(
                "response_length", \.rollouts.longestAnswer, range: .within(1...65_536),
                "The most new tokens in an answer."),
            temperatureKey,
            RecipeKey(
                "num_ppo_epochs", \.rollouts.iterations, range: .within(1...65_536),
                "How often a rollout is trained on."),
            RecipeKey(
                "kl_coef", \.method.kl.coefficient, range: .atLeast(0),
                "The weight of the divergence from the reference; with kl_target, where it begins."),
            RecipeKey(
                "kl_estimator", \.method.klEstimator,
                "How the divergence of a token is estimated: `k1` is unbiased, `k3` never negative."),
            RecipeKey(
                "kl_in", \.method.klPlace,
                "Whether the divergence is taken off each token's reward or a term of the loss."
            ),
            RecipeKey(
                "cliprange", \.method.clipRange, range: .above(0), "How far a ratio may move before it is clipped."),
            RecipeKey(
                "value_adapter", \.method.hasValueAdapter,
                "Whether the value head has an adapter of its own, made as `adapter` says, on the same base: a further pass, and what it learns changes nothing of the policy's."
            ),
            RecipeKey("vf_coef", \.method.valueCoefficient, range: .atLeast(0), "The weight of the value head's loss."),
            RecipeKey(
                "cliprange_value", \.method.valueClipRange, range: .above(0),
                "How far a value may move before it is clipped."),
            RecipeKey("gamma", \.method.gamma, range: .within(0...1), "How much later rewards count."),
            RecipeKey(
                "lam", \.method.lambda, range: .within(0...1),
                "λ of generalised advantage estimation (GAE)."),
            RecipeKey(
                "whiten_rewards", \.method.whitensRewards, "Brings rewards to variance 1 before they are credited."),
            entropyKey,
        ]
    }
}

/// A method that compares the answers to a prompt with each other.
protocol GroupMethod: EntropyRegularized {
    var answersPerPrompt: Int { get set }
    var epsilon: Double { get set }
    var epsilonHigh: Double? { get set }
}

extension GRPO: GroupMethod {}

extension RLOO: GroupMethod {}

extension PolicySettings where Method: GroupMethod {
    /// The keys of such methods, with what `beta` is the weight of.
    fileprivate static func groupKeys(_ betaSummary: String) -> [RecipeKey<Self>] {
        [
            RecipeKey(
                "num_generations", \.method.answersPerPrompt, range: .within(2...65_536),
                "Answers to a prompt, compared with each other; they share their prompt, which is computed once."),
            RecipeKey(
                "max_completion_length", \.rollouts.longestAnswer, range: .within(1...65_536),
                "The most new tokens in an answer."),
            temperatureKey,
            RecipeKey(
                "num_iterations", \.rollouts.iterations, range: .within(1...65_536),
                "How often a rollout is trained on."),
            RecipeKey(
                "beta", \.method.kl.coefficient, range: .atLeast(0),
                betaSummary),
            RecipeKey("epsilon", \.method.epsilon, range: .above(0), "How far a ratio may fall before it is clipped."),
            RecipeKey(
                "epsilon_high", optional: \.method.epsilonHigh, range: .above(0),
                "How far a ratio may rise before it is clipped; epsilon if left out."),
            entropyKey,
        ]
    }
}

/// `objective: { type: grpo }`: answers compared within groups; keys and defaults are those of TRL's `GRPOConfig`.
public struct GRPOSettings: Equatable, Sendable {
    /// The method.
    public var method = GRPO()
    /// How answers are made.
    public var rollouts = RolloutSettings(longestAnswer: 256, temperature: 1, iterations: 1)
    /// What the policy is kept near to.
    public var reference = ReferenceChoice.auto

    /// The defaults, without a reward.
    public init() {}
}

extension GRPOSettings: PolicySettings {
    static var keys: [RecipeKey<Self>] {
        sharedKeys
            + groupKeys(
                "The weight of the divergence from the reference (k3), a term of the loss; with 0 the reference is not asked."
            ) + [
                RecipeKey(
                    "loss_type", \.method.lossType,
                    "What the mean is over: the tokens of each answer, then the answers (`grpo`); the tokens of the step (`dapo`, and `bnpo`, where a step is one batch as here); answers at the longest length (`dr_grpo`)."
                ),
                RecipeKey(
                    "importance_sampling_level", \.method.ratio,
                    "What a ratio is of: each token, or the whole answer (`sequence`, GSPO)."),
                RecipeKey(
                    "scale_rewards", \.method.scaling,
                    "What differences of scores are divided by: the standard deviation of the group, of the batch, or nothing."
                ),
            ]
    }
}

/// `objective: { type: rloo }`: REINFORCE with the other answers as the baseline; keys and defaults are those of TRL's `RLOOConfig`.
public struct RLOOSettings: Equatable, Sendable {
    /// The method.
    public var method = RLOO()
    /// How answers are made.
    public var rollouts = RolloutSettings(longestAnswer: 256, temperature: 1, iterations: 1)
    /// What the policy is kept near to.
    public var reference = ReferenceChoice.auto

    /// The defaults, without a reward.
    public init() {}
}

extension RLOOSettings: PolicySettings {
    static var keys: [RecipeKey<Self>] {
        sharedKeys
            + groupKeys(
                "The weight of the answer's divergence from the reference (k1), taken off its score; with 0 the reference is not asked."
            )
    }
}

/// `objective: { type: online_dpo }`: the better of two answers against the other; keys and defaults are those of TRL's `OnlineDPOConfig`.
public struct OnlineDPOSettings: Equatable, Sendable {
    /// The method.
    public var method = OnlineDPO()
    /// How answers are made.
    public var rollouts = RolloutSettings(longestAnswer: 64, temperature: 0.9, iterations: 1)
    /// What change is measured against.
    public var reference = ReferenceChoice.auto

    /// The defaults, without a reward.
    public init() {}
}

extension OnlineDPOSettings: PolicySettings {
    static var keys: [RecipeKey<Self>] {
        sharedKeys + [
            RecipeKey("loss_type", \.method.lossType, "The loss of a pair."),
            RecipeKey(
                "beta", \.method.kl.coefficient, range: .above(0),
                "How strongly the model is tied to the reference: higher stays closer. With kl_target, where it begins."
            ),
            RecipeKey(
                "max_new_tokens", \.rollouts.longestAnswer, range: .within(1...65_536),
                "The most new tokens in an answer."),
            temperatureKey,
        ]
    }
}
