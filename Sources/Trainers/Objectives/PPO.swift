/// Proximal policy optimisation (Schulman et al. 2017; Ziegler et al. 2019), with the defaults of TRL's `PPOConfig`.
///
/// The divergence of each token from the reference is a penalty in its reward, the score a reward of the last token; a value head says
/// what is expected; the advantages are generalised and whitened; ratio and values are clipped.
public struct PPO: PolicyMethod, EntropyRegularized {
    /// Where the divergence is taken off.
    public enum KLPlace: String, CaseIterable, Sendable {
        /// From the reward of each token.
        case reward
        /// Within the loss, with its own gradient.
        case loss
    }

    /// How strongly the policy is tied to its reference.
    public var kl = KLSettings(coefficient: 0.05)
    /// Where that is taken off.
    public var klPlace = KLPlace.reward
    /// How it is estimated.
    public var klEstimator = KLEstimator.k1
    /// How far a ratio may move before it is clipped.
    public var clipRange = 0.2
    /// Whether the value head stands on an adapter of its own, not on the policy's.
    public var hasValueAdapter = false
    /// The weight of the value head's loss.
    public var valueCoefficient = 0.1
    /// How far a value may move before it is clipped.
    public var valueClipRange = 0.2
    /// How much later rewards count.
    public var gamma = 1.0
    /// How far a surprise reaches back.
    public var lambda = 0.95
    /// The weight of the mean entropy of the next-token distributions, which the loss makes larger.
    public var entropyCoefficient = 0.0
    /// Whether rewards are brought to variance 1 before they are credited.
    public var whitensRewards = false

    /// TRL's defaults.
    public init() {}

    /// The head is a part of the method.
    public var valueTrunk: Critic.Trunk? { hasValueAdapter ? .own : .policy }
    /// The divergence is measured even where its weight is 0.
    public var usesReference: Bool { true }
    /// One answer: what is expected of it says how good it is.
    public var answersPerPrompt: Int { 1 }

    /// Generalised advantages.
    public var credit: any Credit {
        var credit = GeneralizedCredit()
        credit.gamma = gamma
        credit.lambda = lambda
        credit.klEstimator = klPlace == .reward ? klEstimator : nil
        credit.whitensRewards = whitensRewards
        return credit
    }

    /// Clipped ratios and values, over all tokens of the step.
    public func loss(longestAnswer: Int) -> any RolloutLoss {
        var loss = PolicyLoss()
        loss.clip = ClippedPolicyLoss(low: clipRange, high: clipRange)
        loss.valueClip = ClippedValueLoss(range: valueClipRange)
        loss.valueCoefficient = valueCoefficient
        loss.klCoefficient = klPlace == .loss ? kl.coefficient : 0
        loss.klEstimator = klEstimator
        loss.entropyCoefficient = entropyCoefficient
        return loss
    }
}
