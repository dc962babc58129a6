import Datasets
import Foundation

/// The loss of two answers to a prompt, of which the one with the higher score is the chosen one. With `z` the difference of the
/// log-ratios of policy to reference, chosen less rejected, over whole answers, see ``LossType``.
///
/// Source: TRL 1.16, `OnlineDPOTrainer`, which takes the first of two answers of one score; here there is no such pair.
public struct OnlinePairLoss: RolloutLoss, Hashable {
    /// Under TRL's names.
    public enum LossType: String, CaseIterable, Sendable {
        /// DPO: `−log σ(βz)` (Rafailov et al. 2023).
        case sigmoid
        /// IPO: `(z − 1/2β)²` (Azar et al. 2023).
        case ipo
    }

    private let type: LossType
    private var beta: Double

    /// A loss with its β.
    public init(_ type: LossType, beta: Double) {
        precondition(beta > 0, "a beta of \(beta)")
        self.type = type
        self.beta = beta
    }

    /// It has no such term.
    public var readsEntropies: Bool { false }

    /// The pairs.
    public func count(_ examples: [Example]) -> Int { examples.count }

    /// β is what is steered.
    public func steered(to klCoefficient: Double) -> OnlinePairLoss { OnlinePairLoss(type, beta: klCoefficient) }

    /// The loss of a pair, as that of its first answer.
    public func callAsFunction(_ answers: [CurrentAnswer], scale: Double) -> [AnswerLoss] {
        let scores = answers.map(\.judged.score)
        precondition(scores.count == 2 && scores[0] != scores[1], "no pair: scores of \(scores)")
        let chosen = scores[0] > scores[1] ? 0 : 1
        let ratios = answers.map { $0.policy.total - $0.judged.reference.total }
        let margin = Dual(ratios[chosen], chosen: 1) - Dual(ratios[1 - chosen], rejected: 1)
        let loss =
            switch type {
            case .sigmoid: -(beta * margin).logSigmoid
            case .ipo: (margin - 1 / (2 * beta)).squared
            }
        var results = answers.enumerated().map { index, answer in
            let slope = Float(scale * (index == chosen ? loss.chosen : loss.rejected))
            var result = AnswerLoss(gradient: answer.policy.map { _ in slope }, valueGradient: [])
            for (now, old) in zip(answer.policy, answer.judged.old) {
                result.sums.addDrift(Double(now) - Double(old), ratio: exp(Double(now) - Double(old)))
            }
            return result
        }
        results[0].loss = scale * loss.value
        results[0].sums.addPair(
            chosen: beta * ratios[chosen], rejected: beta * ratios[1 - chosen],
            logps: (answers[chosen].policy.total, answers[1 - chosen].policy.total))
        results[0].sums.add("logps/ref_chosen", answers[chosen].judged.reference.total)
        results[0].sums.add("objective/scores_margin", abs(scores[0] - scores[1]))
        return results
    }
}
