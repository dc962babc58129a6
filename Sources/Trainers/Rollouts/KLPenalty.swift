import Foundation

/// How the divergence of policy π from reference ρ is estimated from one sampled token (Schulman 2020), `d = log π − log ρ`.
public enum KLEstimator: String, CaseIterable, Sendable {
    /// `d`: unbiased, of either sign.
    case k1
    /// `e^(−d) − 1 + d`: unbiased, never negative.
    case k3

    /// The estimate.
    public func callAsFunction(policy: Double, reference: Double) -> Double {
        let difference = policy - reference
        switch self {
        case .k1: return difference
        case .k3: return expm1(-difference) + difference
        }
    }

    /// The derivative of the estimate by log π.
    public func derivative(policy: Double, reference: Double) -> Double {
        switch self {
        case .k1: 1
        case .k3: -expm1(reference - policy)
        }
    }
}

/// The coefficient of the KL penalty: fixed, or steered towards a target (Ziegler et al. 2019):
/// `e = clip(KL / target − 1, ±0.2)`, `β ← β · (1 + e · n / horizon)` after n answers.
public struct KLController: Hashable, Sendable {
    /// β.
    public private(set) var coefficient: Double
    /// The KL of an answer that β is steered to; nil where β is kept.
    public let target: Double?
    private let horizon: Double

    /// A controller that keeps `coefficient`, or steers it where there is a target.
    ///
    /// - Parameters:
    ///   - coefficient: where β begins.
    ///   - target: the KL of an answer, summed over its tokens, that β is steered to; nil to keep β.
    ///   - horizon: answers over which β changes by a fifth, which it does where the KL is off its target by a fifth or more.
    public init(coefficient: Double, target: Double? = nil, horizon: Double = 10_000) {
        precondition(horizon > 0 && target ?? 1 > 0, "a target of \(target ?? 1), a horizon of \(horizon)")
        self.coefficient = coefficient
        self.target = target
        self.horizon = horizon
    }

    /// Steers by what a rollout measured.
    ///
    /// - Parameters:
    ///   - kl: the mean KL of an answer.
    ///   - answers: how many.
    public mutating func update(kl: Double, answers: Int) {
        guard let target else { return }
        let error = min(max(kl / target - 1, -0.2), 0.2)
        coefficient *= 1 + error * Double(answers) / horizon
    }

    /// Goes on from a coefficient that a checkpoint recorded.
    public mutating func restore(coefficient: Double) { self.coefficient = coefficient }
}
