import Datasets
import Layers
import Models
import Tensors

/// Odds-ratio preference optimisation: supervised fine-tuning and preference in one loss, without a reference model.
///
/// Its terms are the pairs, and the tokens of prompts and chosen answers.
public struct ORPO: Objective {
    private let model: CausalLM
    private let pairLoss: OddsRatioLoss

    /// Trains `model` on pairs.
    public init(_ model: CausalLM, loss: OddsRatioLoss = OddsRatioLoss()) {
        self.model = model
        pairLoss = loss
    }

    /// The number of pairs, and that of the tokens of prompts and chosen answers that have one before them.
    public func counts(_ batch: Batch) -> [Int] {
        let prompts = batch.examples.reduce(0) { $0 + max(0, $1.answers[0] - 1) }
        return [batch.examples.count, prompts + batch.chosenTokenCount]
    }

    /// The scaled loss, with TRL's metrics beside it.
    public func loss(
        _ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext
    ) -> ObjectiveResult {
        let pass = AnswerPass(model, batch.examples, reference: nil, scoresPrompts: true, makeContext)
        let result = pairLoss(pass.answers, prompts: pass.prompts, pairScale: scale[0], tokenScale: scale[1])
        let loss = pass.loss(
            result.loss, gradient: result.gradient,
            promptGradient: pass.prompts.map { [Float](repeating: Float(-scale[1]), count: $0.count) })
        return ObjectiveResult(
            loss: loss, of: batch, value: result.loss, share: scale[0], sums: result.sums,
            likelihoods: pass.answers.map { $0[0].likelihood })
    }
}
