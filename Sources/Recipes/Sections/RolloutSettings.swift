import Models
import Trainers

/// What the methods of policy optimisation have in common: how prompts are answered, judged and trained on.
public struct RolloutSettings: Equatable, Sendable {
    /// What judges the answers; their weighted sum is the score.
    public var rewards: [RewardSettings] = []
    /// Prompts of a rollout.
    public var batchSize = 64
    /// The most new tokens in an answer.
    public var longestAnswer: Int
    /// Divides the logits, both in sampling and in every log-probability.
    public var temperature: Double
    /// See ``SamplingOptions``.
    public var topK: Int?
    /// See ``SamplingOptions``.
    public var topP = 1.0
    /// See ``SamplingOptions``.
    public var minP = 0.0
    /// See ``SamplingOptions``.
    public var repetitionPenalty = 1.0
    /// Whether answers may be drawn from less than the whole distribution, which is not what their probabilities are of.
    public var allowsTruncatedSampling = false
    /// Tokens that end an answer besides the model's own.
    public var stopTokens: [String]?
    /// Taken off the score of an answer that did not end.
    public var missingEOSPenalty: Double?
    /// Whether answers that did not end are left out of training.
    public var masksTruncated = false
    /// How often a rollout is trained on.
    public var iterations: Int
    /// Optimizer steps of one such pass.
    public var minibatches = 1
    /// The approximate KL from the policy that wrote a rollout, above which the rest of it is passed over.
    public var earlyStopKL: Double?
    /// Answers of each rollout that are written to the run's folder.
    public var sampleGenerations = 10

    /// The defaults of a method.
    public init(longestAnswer: Int, temperature: Double, iterations: Int) {
        self.longestAnswer = longestAnswer
        self.temperature = temperature
        self.iterations = iterations
    }

    /// Whether some tokens cannot be drawn, or are drawn with other probabilities than the policy's.
    var truncatesSampling: Bool { topK != nil || topP < 1 || minP > 0 || repetitionPenalty != 1 }

    /// Optimizer steps of a run over so many prompts: every rollout is of full size, the last goes on into the next epoch.
    func steps(prompts: Int, epochs: Int) -> Int {
        let rollouts = (prompts * epochs + batchSize - 1) / batchSize
        return rollouts * iterations * minibatches
    }

    /// What rollouts are made with.
    func options(for method: any PolicyMethod, shuffles: Bool, training: TrainingSettings) -> RolloutOptions {
        var options = RolloutOptions()
        options.prompts = batchSize
        options.answersPerPrompt = method.answersPerPrompt
        options.leavesOutTies = method.leavesOutTies
        options.epochs = iterations
        options.minibatches = minibatches
        options.decoding = DecodingOptions(maximumTokens: longestAnswer)
        options.decoding.sampling = SamplingOptions(
            temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty)
        options.missingEndPenalty = missingEOSPenalty ?? 0
        options.leavesOutTruncated = masksTruncated
        options.stopAtKL = earlyStopKL
        options.tokensPerPass = training.tokensPerPass
        options.shuffles = shuffles
        options.seed = UInt64(training.seed)
        return options
    }
}

/// The section of a method of policy optimisation.
protocol PolicySettings: RecipeSection {
    associatedtype Method: PolicyMethod
    /// How tokens are credited, and what is made smaller.
    var method: Method { get set }
    /// How answers are made.
    var rollouts: RolloutSettings { get set }
    /// What the policy is kept near to.
    var reference: ReferenceChoice { get set }
}

extension PolicySettings {
    static var name: String { SFTSettings.name }
    static var summary: String { SFTSettings.summary }

    /// The keys that every method has.
    static var sharedKeys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "rewards", \.rollouts.rewards, required: true,
                "What judges the answers: one or several, each with `type` (\(RewardChoice.types.map { "`\($0)`" }.joined(separator: ", "))), the keys of its type, `weight` (1) and `name` (the type); the score is their weighted sum."
            ),
            RecipeKey("rollout_batch_size", \.rollouts.batchSize, range: .within(1...65_536), "Prompts of a rollout."),
            RecipeKey(
                "top_k", optional: \.rollouts.topK, range: .atLeast(1),
                "Answers are drawn from only this many of the most probable tokens. Needs allow_truncated_sampling."),
            RecipeKey(
                "top_p", \.rollouts.topP, range: .within(0...1),
                "Answers are drawn from the most probable tokens that come to this share. Needs allow_truncated_sampling."
            ),
            RecipeKey(
                "min_p", \.rollouts.minP, range: .within(0...1),
                "Answers are drawn from tokens of this share of the best one's probability. Needs allow_truncated_sampling."
            ),
            RecipeKey(
                "repetition_penalty", \.rollouts.repetitionPenalty, range: .above(0),
                "Makes tokens that occurred less probable. Needs allow_truncated_sampling."),
            RecipeKey(
                "allow_truncated_sampling", \.rollouts.allowsTruncatedSampling,
                "Allows answers to be drawn from another distribution than the one that ratios are of."),
            RecipeKey(
                "stop_tokens", optional: \.rollouts.stopTokens,
                "Tokens that end an answer, besides those of the model and its template."),
            RecipeKey(
                "missing_eos_penalty", optional: \.rollouts.missingEOSPenalty, range: .atLeast(0),
                "Taken off the score of an answer that the limit ended."),
            RecipeKey(
                "mask_truncated_completions", \.rollouts.masksTruncated,
                "Whether answers that the limit ended are left out of the loss. They are judged, and the others compared with them; with online_dpo the other of the pair is left out too."
            ),
            RecipeKey(
                "num_mini_batches", \.rollouts.minibatches, range: .within(1...65_536),
                "Optimizer steps of each pass over a rollout; they divide its prompts."),
            RecipeKey(
                "early_stop_kl", optional: \.rollouts.earlyStopKL, range: .above(0),
                "Where a step's approximate KL a token from the policy that wrote the rollout passes this, the rest of the rollout is passed over."
            ),
            RecipeKey(
                "num_sample_generations", \.rollouts.sampleGenerations, range: .atLeast(0),
                "Answers of each rollout and evaluation that are written to samples.jsonl."),
            RecipeKey(
                "reference", \.reference,
                "The model that the policy is kept near to: the base model without adapters, the model as training starts, another model, or an adapter on the base. `auto` is `start` with adapter.init_from, else `base`."
            ),
            RecipeKey(
                "kl_target", optional: \.method.kl.target, range: .above(0),
                "The KL of an answer, in nats over its tokens, that the coefficient is steered to (Ziegler et al. 2019); it stays as it is if left out."
            ),
            RecipeKey(
                "kl_horizon", \.method.kl.horizon, range: .above(0),
                "With kl_target: answers over which the coefficient changes by a fifth at most, which it does where the KL is off its target by a fifth or more. At least half of a rollout's answers."
            ),
        ]
    }

    /// The key of the temperature, which has a default for each method.
    static var temperatureKey: RecipeKey<Self> {
        RecipeKey(
            "temperature", \.rollouts.temperature, range: .above(0),
            "Divides the logits, both in sampling and in every log-probability.")
    }
}

extension PolicySettings where Method: EntropyRegularized {
    /// The key of the bonus.
    static var entropyKey: RecipeKey<Self> {
        RecipeKey(
            "entropy_coef", \.method.entropyCoefficient, range: .atLeast(0),
            "The weight of a bonus for the entropy of the next-token distributions, a mean as the loss is.")
    }
}
