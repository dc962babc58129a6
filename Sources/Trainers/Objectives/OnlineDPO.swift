/// Online direct preference optimisation (Guo et al. 2024), with the defaults of TRL's `OnlineDPOConfig`: of two answers to a prompt the
/// one with the higher score is the chosen one.
public struct OnlineDPO: PolicyMethod {
    /// How strongly the policy is tied to its reference: β of the loss.
    public var kl = KLSettings(coefficient: 0.1)
    /// The loss of a pair.
    public var lossType = OnlinePairLoss.LossType.sigmoid

    /// TRL's defaults.
    public init() {}

    /// Nothing is expected: two answers are compared.
    public var valueTrunk: Critic.Trunk? { nil }
    /// The loss is a function of it.
    public var usesReference: Bool { true }
    /// A pair.
    public var answersPerPrompt: Int { 2 }
    /// Neither of two answers of one score is the chosen one.
    public var leavesOutTies: Bool { true }

    /// How much better than the other.
    public var credit: any Credit {
        var credit = GroupCredit()
        credit.scaling = .none
        return credit
    }

    /// The loss of the pairs that have a chosen answer.
    public func loss(longestAnswer: Int) -> any RolloutLoss { OnlinePairLoss(lossType, beta: kl.coefficient) }
}
