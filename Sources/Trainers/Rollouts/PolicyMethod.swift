/// A method of policy optimisation: how the tokens of rollouts are credited, and what is made smaller.
///
/// Methods differ in nothing else: rollouts, probabilities and the training loop are the same for all.
public protocol PolicyMethod: Equatable, Sendable {
    /// Whether a value head says what is expected of an answer.
    var usesValueHead: Bool { get }
    /// Whether the divergence from a reference model is measured.
    var usesReference: Bool { get }
    /// Answers to each prompt, which are compared with each other.
    var answersPerPrompt: Int { get }
    /// The weight of the divergence, as rollouts begin.
    var controller: KLController { get }
    /// What makes advantages of scores.
    var credit: any Credit { get }
    /// What is made smaller.
    ///
    /// - Parameter longestAnswer: the tokens that an answer may have.
    /// - Returns: the loss of a token.
    func loss(longestAnswer: Int) -> PolicyLoss
}

/// How strongly a policy is tied to its reference.
public struct KLSettings: Equatable, Sendable {
    /// The weight of the divergence; with a target, where it begins.
    public var coefficient: Double
    /// The divergence of an answer that the weight is steered to; nil to keep the weight.
    public var target: Double?
    /// Answers over which a steady error of 1 would double the weight.
    public var horizon = 10_000.0

    /// A fixed weight.
    public init(coefficient: Double) { self.coefficient = coefficient }

    /// The rule as a rollout begins.
    public var controller: KLController { KLController(coefficient: coefficient, target: target, horizon: horizon) }
}
