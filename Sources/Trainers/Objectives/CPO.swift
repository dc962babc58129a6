import Datasets
import Layers
import Models
import Tensors

/// Contrastive preference optimisation, and SimPO: the mean over pairs of a ``ContrastiveLoss``, which needs no reference model.
///
/// Its terms are the pairs and the tokens of the chosen answers.
public struct CPO: Objective {
    private let model: CausalLM
    private let pairLoss: ContrastiveLoss

    /// Trains `model` on pairs.
    public init(_ model: CausalLM, loss: ContrastiveLoss = ContrastiveLoss()) {
        self.model = model
        pairLoss = loss
    }

    /// The number of pairs, and that of the chosen answers' tokens.
    public func counts(_ batch: Batch) -> [Int] { [batch.examples.count, batch.chosenTokenCount] }

    /// The scaled loss, with TRL's metrics beside it.
    public func loss(
        _ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext
    ) -> ObjectiveResult {
        let pass = AnswerPass(model, batch.examples, reference: nil, makeContext)
        let result = pairLoss(pass.answers, pairScale: scale[0], tokenScale: scale[1])
        return ObjectiveResult(
            loss: pass.loss(result.loss, gradient: result.gradient), of: batch, value: result.loss, share: scale[0],
            sums: result.sums, likelihoods: pass.answers.map { $0[0].likelihood })
    }
}
