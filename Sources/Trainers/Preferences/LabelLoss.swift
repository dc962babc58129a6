import Foundation

/// The losses of `KTOTrainer`, under TRL's names. `x` is an answer's log-ratio of policy to reference.
public enum LabelLossType: String, CaseIterable, Sendable {
    /// KTO: `1 − σ(β(x − z))` for a desirable answer, `1 − σ(β(z − x))` for another (Ethayarajh et al. 2024); z estimates the KL
    /// divergence.
    case kto
    /// APO-zero without pairs: `1 − σ(βx)` and `σ(βx)` (D'Oosterlinck et al. 2024).
    case apoZeroUnpaired = "apo_zero_unpaired"
}

/// The loss of answers that are desirable or not, as a function of the tokens' log-probabilities. Source: TRL 1.16, `KTOTrainer`.
public struct LabelLoss: Sendable, Equatable {
    /// Which loss.
    public var type = LabelLossType.kto
    /// The strength of the tie to the reference.
    public var beta = 0.1
    /// What a desirable answer counts.
    public var desirableWeight = 1.0
    /// What an undesirable answer counts.
    public var undesirableWeight = 1.0

    /// KTO as its paper has it.
    public init() {}

    /// What one answer, of one optimizer step, is divided by.
    public struct Scale: Sendable {
        /// One over the number of answers.
        public var answers: Double
        /// One over the number of desirable answers; 0 for none.
        public var desirable: Double
        /// One over the number of undesirable answers; 0 for none.
        public var undesirable: Double

        /// Makes a scale.
        public init(answers: Double, desirable: Double, undesirable: Double) {
            self.answers = answers
            self.desirable = desirable
            self.undesirable = undesirable
        }
    }

    /// An answer and what is said of it.
    public typealias Labelled = (scores: AnswerScores, isDesirable: Bool)

    /// KTO's z from answers that belong to other prompts: their mean log-ratio, at least 0; without a gradient.
    public static func divergence(mismatched: [AnswerScores]) -> Double {
        let ratios = mismatched.map { $0.policy.total - $0.reference.total }
        return max(0, ratios.reduce(0, +) / Double(max(1, ratios.count)))
    }

    /// The loss of a batch of answers.
    ///
    /// - Parameters:
    ///   - answers: their scores and labels.
    ///   - divergence: z, of ``divergence(mismatched:)``; 0 where the type has none.
    ///   - scale: what an answer counts.
    /// - Returns: the loss, its gradient by answer and token, and metrics.
    public func callAsFunction(_ answers: [Labelled], divergence: Double, scale: Scale) -> (
        loss: Double, gradient: [[Float]], sums: [String: (sum: Double, count: Double)]
    ) {
        var loss = 0.0
        var sums = MetricSums()
        let gradient = answers.map { answer, isDesirable in
            let ratio = answer.policy.total - answer.reference.total
            // Of an undesirable answer the sign is turned: 1 − σ(β(z − x)), and σ(βx) = 1 − σ(−βx).
            let sign = isDesirable ? 1.0 : -1.0
            let x = Dual(ratio, chosen: 1)
            let term = 1 - (sign * beta * (x - divergence)).sigmoid
            let weight = scale.answers * (isDesirable ? desirableWeight : undesirableWeight)
            loss += weight * term.value
            let side = isDesirable ? "chosen" : "rejected"
            sums.add("rewards/\(side)", beta * ratio)
            sums.add("logps/\(side)", answer.policy.total)
            if isDesirable { sums.add("logps/ref_chosen", answer.reference.total) }
            sums.addLogits(answer, isChosen: isDesirable)
            if scale.desirable > 0 && scale.undesirable > 0 {
                let part = isDesirable ? scale.desirable : -scale.undesirable
                sums.add("rewards/margins", part * beta * ratio, count: scale.answers)
            }
            return [Float](repeating: Float(weight * term.chosen), count: answer.count)
        }
        sums.add("kl", divergence * Double(answers.count), count: Double(answers.count))
        return (loss, gradient, sums.values)
    }
}
