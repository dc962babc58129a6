import Models

/// How rollouts are made and used.
public struct RolloutOptions: Sendable {
    /// Prompts of a rollout.
    public var prompts = 64
    /// Answers to each; a group.
    public var answersPerPrompt = 1
    /// Whether every pass over the prompts has an order of its own.
    public var shuffles = true
    /// How often a rollout is trained on.
    public var epochs = 4
    /// Optimizer steps of one such pass.
    public var minibatches = 1
    /// How answers are written; the temperature is the policy's.
    public var decoding = DecodingOptions(maximumTokens: 53)
    /// Taken off the score of an answer that no stop token ended.
    public var missingEndPenalty = 0.0
    /// Whether answers that no stop token ended are compared and credited, but not trained on.
    public var leavesOutTruncated = false
    /// Whether prompts whose answers are all worth the same are not trained on.
    public var leavesOutTies = false
    /// Where a step's approximate KL from the policy that wrote the rollout passes this, the rest of the rollout is passed over.
    public var stopAtKL: Double?
    /// Tokens whose activations are held at once.
    public var tokensPerPass = 1024
    /// What every random choice is drawn from.
    public var seed: UInt64 = 42

    /// TRL's defaults.
    public init() {}

    /// Optimizer steps that one rollout is good for.
    public var stepsPerRollout: Int { epochs * minibatches }
}

/// When a rollout was made.
public struct RolloutMoment: Hashable, Sendable {
    /// The first step that trains on it; of an evaluation, the steps done.
    public var step: Int
    /// Whether it is not trained on.
    public var isEvaluation: Bool
}
