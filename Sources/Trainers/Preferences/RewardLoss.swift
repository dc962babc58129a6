import Foundation

/// The Bradley–Terry loss of a reward model: of a pair with the rewards c and r and the margin m, `−log σ(c − r − m)`, and where
/// rewards are to be centred `+ λ (c + r)²` (Eisenstein et al. 2023). Source: TRL 1.16, `RewardTrainer`.
public struct RewardLoss: Sendable, Equatable {
    /// λ, which keeps rewards around zero; 0 leaves them where they are.
    public var centering = 0.0

    /// Without centring.
    public init() {}

    /// The loss of a batch of pairs.
    ///
    /// - Parameters:
    ///   - rewards: of each pair, those of the chosen and of the rejected answer.
    ///   - margins: by how much the chosen answer is to be better; 0 where a row does not say.
    ///   - pairScale: what a pair counts: one over the number of pairs of the optimizer step.
    /// - Returns: the loss, and how it changes with each reward.
    public func callAsFunction(
        _ rewards: [(chosen: Double, rejected: Double)], margins: [Double], pairScale: Double
    ) -> (loss: Double, gradient: [(chosen: Double, rejected: Double)]) {
        var loss = 0.0
        let gradient = zip(rewards, margins).map { pair, margin in
            let (c, r) = (Dual(pair.chosen, chosen: 1), Dual(pair.rejected, rejected: 1))
            let term = pairScale * (-(c - r - margin).logSigmoid + centering * (c + r).squared)
            loss += term.value
            return (term.chosen, term.rejected)
        }
        return (loss, gradient)
    }
}
