/// REINFORCE leave-one-out (Ahmadian et al. 2024), with the defaults of TRL's `RLOOConfig`: an answer's score, less its divergence from the
/// reference, is compared with the mean of the other answers to its prompt; the ratio is that of the whole answer.
public struct RLOO: PolicyMethod, EntropyRegularized {
    /// How strongly the policy is tied to its reference: taken off the score.
    public var kl = KLSettings(coefficient: 0.05)
    /// Answers to a prompt.
    public var answersPerPrompt = 2
    /// How far a ratio may fall before it is clipped.
    public var epsilon = 0.2
    /// The weight of the mean entropy of the next-token distributions, which the loss makes larger.
    public var entropyCoefficient = 0.0
    /// How far it may rise; nil for the same.
    public var epsilonHigh: Double?

    /// TRL's defaults.
    public init() {}

    /// The other answers take its place.
    public var valueTrunk: Critic.Trunk? { nil }
    /// The score against the mean of the others.
    public var credit: any Credit { LeaveOneOutCredit() }

    /// The clipped ratio of the whole answer, over the answers of the step.
    public func loss(longestAnswer: Int) -> any RolloutLoss {
        var loss = PolicyLoss()
        loss.clip = ClippedPolicyLoss(low: epsilon, high: epsilonHigh ?? epsilon)
        loss.ratio = .product
        loss.mean = .answers
        loss.entropyCoefficient = entropyCoefficient
        return loss
    }
}
