/// Group relative policy optimisation (Shao et al. 2024), with the defaults of TRL's `GRPOConfig`: an answer is compared with the others
/// to its prompt, which takes the place of a value head. GSPO (Zheng et al. 2025) is ``ratio`` `sequence`.
public struct GRPO: PolicyMethod, EntropyRegularized {
    /// What the mean of the loss is over, by TRL's names.
    public enum LossType: String, CaseIterable, Sendable {
        /// The tokens of each answer, then the answers (Shao et al. 2024).
        case grpo
        /// The tokens of the batch: the same as ``dapo`` here, where a step is one batch.
        case bnpo
        /// All answers at the longest length allowed, so that long ones do not count less a token (Liu et al. 2025).
        case drGRPO = "dr_grpo"
        /// The tokens of the step (Yu et al. 2025).
        case dapo
    }

    /// What a ratio is of, by TRL's names.
    public enum RatioOf: String, CaseIterable, Sendable {
        /// Each token.
        case token
        /// The whole answer, as the geometric mean of its tokens' (GSPO).
        case sequence
    }

    /// How strongly the policy is tied to its reference: a term of the loss, estimated by k3.
    public var kl = KLSettings(coefficient: 0)
    /// Answers to a prompt.
    public var answersPerPrompt = 8
    /// How far a ratio may fall before it is clipped.
    public var epsilon = 0.2
    /// How far it may rise; nil for the same.
    public var epsilonHigh: Double?
    /// What the mean is over.
    public var lossType = LossType.dapo
    /// What a ratio is of.
    public var ratio = RatioOf.token
    /// The weight of the mean entropy of the next-token distributions, which the loss makes larger.
    public var entropyCoefficient = 0.0
    /// What differences of scores are divided by.
    public var scaling = RewardScaling.group

    /// TRL's defaults.
    public init() {}

    /// The group takes its place.
    public var valueTrunk: Critic.Trunk? { nil }

    /// The score against those of the group.
    public var credit: any Credit {
        var credit = GroupCredit()
        credit.scaling = scaling
        return credit
    }

    /// Clipped ratios.
    public func loss(longestAnswer: Int) -> any RolloutLoss {
        var loss = PolicyLoss()
        loss.clip = ClippedPolicyLoss(low: epsilon, high: epsilonHigh ?? epsilon)
        loss.ratio = ratio == .sequence ? .sequence : .token
        loss.mean =
            switch lossType {
            case .grpo: .answers
            case .bnpo, .dapo: .tokens
            case .drGRPO: .longest
            }
        loss.longestAnswer = longestAnswer
        loss.klCoefficient = kl.coefficient
        loss.entropyCoefficient = entropyCoefficient
        return loss
    }
}
