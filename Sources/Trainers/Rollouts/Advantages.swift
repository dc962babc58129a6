import Foundation

// How good each choice of a rollout was, compared with what was expected. All in f64: there are few numbers, and sums run over them.

/// Generalised advantage estimation (Schulman et al. 2016) over the tokens of one answer:
/// `δₜ = rₜ + γ vₜ₊₁ − vₜ`, `Aₜ = δₜ + γ λ Aₜ₊₁`, with nothing after the last token; returns are `A + v`.
///
/// - Parameters:
///   - rewards: one a token.
///   - values: what the value head expected before each token.
///   - gamma: how much later rewards count.
///   - lambda: how far a surprise reaches back; 1 is the whole return, 0 the next step alone.
/// - Returns: advantages and returns, one each a token.
public func generalizedAdvantages(rewards: [Double], values: [Double], gamma: Double, lambda: Double) -> (
    advantages: [Double], returns: [Double]
) {
    precondition(rewards.count == values.count, "\(rewards.count) rewards, \(values.count) values")
    var advantages = rewards
    var (next, nextValue) = (0.0, 0.0)
    for t in rewards.indices.reversed() {
        let surprise = rewards[t] + gamma * nextValue - values[t]
        next = surprise + gamma * lambda * next
        advantages[t] = next
        nextValue = values[t]
    }
    return (advantages, zip(advantages, values).map(+))
}

/// Numbers brought to variance 1 (with Bessel's correction), and to mean 0 unless `keepsMean`: `(x − μ) / √(σ² + 1e-8)`.
public func whitened(_ numbers: [Double], keepsMean: Bool = false) -> [Double] {
    guard numbers.count > 1 else { return numbers.map { keepsMean ? $0 : $0 * 0 } }
    let mean = numbers.reduce(0, +) / Double(numbers.count)
    let variance = numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(numbers.count - 1)
    let factor = 1 / (variance + 1e-8).squareRoot()
    return numbers.map { ($0 - mean) * factor + (keepsMean ? mean : 0) }
}

/// Pearson's correlation of two lists; 0 where one of them is all the same.
func correlation(_ a: [Double], _ b: [Double]) -> Double {
    precondition(a.count == b.count, "\(a.count) and \(b.count) numbers")
    let (u, v) = (a.map { $0 - a.mean }, b.map { $0 - b.mean })
    func dot(_ x: [Double], _ y: [Double]) -> Double { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }
    let norms = (dot(u, u) * dot(v, v)).squareRoot()
    return norms > 0 ? dot(u, v) / norms : 0
}

/// How a group's rewards are scaled, by TRL's names.
public enum RewardScaling: String, CaseIterable, Sendable {
    /// By the standard deviation within the group.
    case group
    /// By the standard deviation of all rewards of the rollout.
    case batch
    /// Not at all (Dr. GRPO).
    case none
}

/// Group-relative advantages (Shao et al. 2024): `(r − mean of the group) / (σ + 1e-4)`, σ with Bessel's correction.
///
/// - Parameters:
///   - rewards: of all answers, those of a group side by side.
///   - size: answers of a group.
///   - scaling: what σ is over.
/// - Returns: an advantage each.
public func groupAdvantages(_ rewards: [Double], size: Int, scaling: RewardScaling) -> [Double] {
    precondition(size > 0 && rewards.count % size == 0, "\(rewards.count) rewards in groups of \(size)")
    let overall = deviation(rewards[...])
    return stride(from: 0, to: rewards.count, by: size).flatMap { start in
        let group = rewards[start..<start + size]
        let mean = group.reduce(0, +) / Double(size)
        let divisor =
            switch scaling {
            case .group: deviation(group) + 1e-4
            case .batch: overall + 1e-4
            case .none: 1.0
            }
        return group.map { ($0 - mean) / divisor }
    }
}

/// Leave-one-out advantages (Ahmadian et al. 2024): each reward less the mean of the others of its group.
public func leaveOneOutAdvantages(_ rewards: [Double], size: Int) -> [Double] {
    precondition(size > 1 && rewards.count % size == 0, "\(rewards.count) rewards in groups of \(size)")
    return stride(from: 0, to: rewards.count, by: size).flatMap { start in
        let group = rewards[start..<start + size]
        let total = group.reduce(0, +)
        return group.map { $0 - (total - $0) / Double(size - 1) }
    }
}

/// Whether all scores are the same but for rounding: nothing can be learnt from comparing their answers.
func isTie(_ scores: [Double]) -> Bool { deviation(scores[...]) <= 1e-8 }

/// The standard deviation with Bessel's correction; 0 of fewer than two numbers.
func deviation(_ numbers: ArraySlice<Double>) -> Double {
    guard numbers.count > 1 else { return 0 }
    let mean = numbers.reduce(0, +) / Double(numbers.count)
    return (numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(numbers.count - 1)).squareRoot()
}
