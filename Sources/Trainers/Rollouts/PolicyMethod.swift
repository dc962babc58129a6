/// A method of policy optimisation: how the tokens of rollouts are credited, and what is made smaller.
///
/// Methods differ in nothing else: rollouts, probabilities and the training loop are the same for all.
public protocol PolicyMethod: Equatable, Sendable {
    /// What the value head that says what is expected of an answer stands on; nil where there is none.
    var valueTrunk: Critic.Trunk? { get }
    /// Whether the divergence from a reference model is measured.
    var usesReference: Bool { get }
    /// Answers to each prompt, which are compared with each other.
    var answersPerPrompt: Int { get }
    /// How strongly the policy is tied to its reference.
    var kl: KLSettings { get set }
    /// Whether prompts whose answers are all worth the same are left out: the loss compares answers, and has nothing to say of them.
    var leavesOutTies: Bool { get }
    /// What makes advantages of scores.
    var credit: any Credit { get }
    /// What is made smaller.
    ///
    /// - Parameter longestAnswer: the tokens that an answer may have.
    /// - Returns: the loss of a token.
    func loss(longestAnswer: Int) -> any RolloutLoss
}

/// A method whose loss may have a term in the entropies.
public protocol EntropyRegularized: PolicyMethod {
    /// The weight of the mean entropy of the next-token distributions, which the loss makes larger.
    var entropyCoefficient: Double { get set }
}

extension PolicyMethod {
    /// Without a weight the reference is not asked, as in TRL.
    public var usesReference: Bool { kl.coefficient != 0 || kl.target != nil }
    /// The others may still differ in their divergence.
    public var leavesOutTies: Bool { false }
    /// The weight of the divergence, as rollouts begin.
    public var controller: KLController { kl.controller }
}

/// How strongly a policy is tied to its reference.
public struct KLSettings: Equatable, Sendable {
    /// The weight of the divergence; with a target, where it begins.
    public var coefficient: Double
    /// The divergence of an answer that the weight is steered to; nil to keep the weight.
    public var target: Double?
    /// Answers over which the weight changes by a fifth at most; see ``KLController``.
    public var horizon = 10_000.0

    /// A fixed weight.
    public init(coefficient: Double) { self.coefficient = coefficient }

    /// The rule as a rollout begins.
    public var controller: KLController { KLController(coefficient: coefficient, target: target, horizon: horizon) }
}
