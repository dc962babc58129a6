import Datasets
import Foundation

/// What a ratio of probabilities is of.
public enum RatioLevel: String, CaseIterable, Sendable {
    /// Of each token (PPO, GRPO).
    case token
    /// Of the whole answer, as the geometric mean of its tokens' ratios (GSPO; Zheng et al. 2025).
    case sequence
    /// Of the whole answer, as the product of its tokens' ratios (RLOO).
    case product
}

/// What the losses of tokens are averaged over.
public enum PolicyMean: String, CaseIterable, Sendable {
    /// All tokens of the step.
    case tokens
    /// The tokens of each answer, then the answers of the step.
    case answers
    /// The answers of the step, each divided by the longest length allowed (Dr. GRPO).
    case longest
}

/// The loss of policy optimisation as a function of each token's log-probability and value.
public struct PolicyLoss: RolloutLoss, Hashable {
    /// The clipped loss of the ratio.
    public var clip = ClippedPolicyLoss(low: 0.2, high: 0.2)
    /// What ratios are of.
    public var ratio = RatioLevel.token
    /// What the mean is over.
    public var mean = PolicyMean.tokens
    /// The longest answer allowed, for ``PolicyMean/longest``.
    public var longestAnswer = 1
    /// The weight of a KL penalty within the loss; 0 where there is none, or it is part of the reward.
    public var klCoefficient = 0.0
    /// How that KL is estimated.
    public var klEstimator = KLEstimator.k3
    /// The weight of the entropy of each token's distribution, which is taken off the loss.
    public var entropyCoefficient = 0.0
    /// The clipped loss of the value head.
    public var valueClip = ClippedValueLoss(range: 0.2)
    /// The weight of the value head's loss.
    public var valueCoefficient = 0.1

    /// PPO's loss with TRL's defaults.
    public init() {}

    /// Where there is a bonus for them.
    public var readsEntropies: Bool { entropyCoefficient != 0 }

    /// Where the divergence is a term of the loss, its weight is the one that the rollouts steer.
    public func steered(to klCoefficient: Double) -> PolicyLoss {
        var loss = self
        if loss.klCoefficient != 0 { loss.klCoefficient = klCoefficient }
        return loss
    }

    /// What one optimizer step's means are over: a count a mean.
    public func count(_ examples: [Example]) -> Int {
        switch mean {
        case .tokens: examples.reduce(0) { $0 + $1.targetCount }
        case .answers: examples.reduce(0) { $0 + $1.answers.count }
        case .longest: examples.reduce(0) { $0 + $1.answers.count } * longestAnswer
        }
    }

    /// Each answer has a loss of its own.
    public func callAsFunction(_ answers: [CurrentAnswer], scale: Double) -> [AnswerLoss] {
        answers.map { loss(of: $0, scale: scale) }
    }

    private func loss(of answer: CurrentAnswer, scale: Double) -> AnswerLoss {
        let (policy, judged) = (answer.policy, answer.judged)
        precondition(
            policy.count == judged.old.count && judged.advantages.count == policy.count,
            "\(policy.count) tokens, \(judged.old.count) old, \(judged.advantages.count) advantages")
        var result = AnswerLoss(
            gradient: [Float](repeating: 0, count: policy.count),
            valueGradient: [Float](repeating: 0, count: answer.values.count))
        let weight = mean == .answers ? scale / Double(max(1, policy.count)) : scale
        addRatios(policy, judged, weight, &result)
        if klCoefficient != 0 { addDivergence(policy, judged, weight, &result) }
        if entropyCoefficient != 0 {
            result.loss -= weight * entropyCoefficient * answer.entropies.total
            result.entropyGradient = answer.entropies.map { _ in Float(-weight * entropyCoefficient) }
        }
        if !answer.values.isEmpty { addValues(answer.values, judged, weight, &result) }
        return result
    }

    private func addRatios(_ policy: [Float], _ answer: JudgedAnswer, _ weight: Double, _ result: inout AnswerLoss) {
        let differences = zip(policy, answer.old).map { Double($0) - Double($1) }
        let total = differences.reduce(0, +)
        let count = Double(max(1, policy.count))
        for t in policy.indices {
            let difference =
                switch ratio {
                case .token: differences[t]
                case .sequence: total / count
                case .product: total
                }
            let value = clip(logProbability: difference, old: 0, advantage: Double(answer.advantages[t]))
            result.loss += weight * value.loss
            // A ratio of the whole answer changes with every token: each token's loss is the same, and so is each derivative.
            result.gradient[t] += Float(weight * value.derivative * (ratio == .product ? count : 1))
            result.sums.add("loss/policy_avg", value.loss)
            result.sums.add("policy/clipfrac_avg", value.isClipped ? 1 : 0)
            result.sums.addDrift(differences[t], ratio: value.ratio)
        }
    }

    private func addDivergence(_ policy: [Float], _ answer: JudgedAnswer, _ weight: Double, _ result: inout AnswerLoss)
    {
        for t in policy.indices {
            let (p, r) = (Double(policy[t]), Double(answer.reference[t]))
            let kl = klEstimator(policy: p, reference: r)
            result.loss += weight * klCoefficient * kl
            result.gradient[t] += Float(weight * klCoefficient * klEstimator.derivative(policy: p, reference: r))
            result.sums.add("policy/kl", kl)
        }
    }

    private func addValues(_ values: [Float], _ answer: JudgedAnswer, _ weight: Double, _ result: inout AnswerLoss) {
        for t in values.indices {
            let value = valueClip(
                value: Double(values[t]), old: Double(answer.values[t]), target: Double(answer.returns[t]))
            result.loss += weight * valueCoefficient * value.loss
            result.valueGradient[t] += Float(weight * valueCoefficient * value.derivative)
            result.sums.add("loss/value_avg", value.loss)
            result.sums.add("val/clipfrac_avg", value.isClipped ? 1 : 0)
        }
    }
}
