import Datasets
import Layers
import Models
import Tensors

/// Direct preference optimisation and its family: the mean over pairs of a ``PairLoss``.
///
/// Its terms are the pairs and, for the `sft` part of a loss, the tokens of the chosen answers.
public struct DPO: Objective {
    private let model: CausalLM
    private let reference: ReferenceModel
    private let pairLoss: PairLoss

    /// Trains `model` on pairs.
    ///
    /// - Parameters:
    ///   - model: what is trained.
    ///   - reference: what its change is measured against.
    ///   - loss: of a batch of pairs.
    public init(_ model: CausalLM, reference: ReferenceModel, loss: PairLoss = PairLoss()) {
        self.model = model
        self.reference = reference
        pairLoss = loss
    }

    /// Whether a loss sorts the batch.
    public var isBatchCoupled: Bool { pairLoss.couplesBatch }

    /// The number of pairs, and that of the chosen answers' tokens.
    public func counts(_ batch: Batch) -> [Int] { [batch.examples.count, batch.chosenTokenCount] }

    /// The scaled loss, with TRL's metrics beside it.
    public func loss(
        _ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext
    ) -> ObjectiveResult {
        let known = reference.logProbabilities(batch.examples)
        let pass = AnswerPass(model, batch.examples, reference: known, makeContext)
        let result = pairLoss(pass.answers, pairScale: scale[0], tokenScale: scale[1])
        return ObjectiveResult(
            loss: pass.loss(result.loss, gradient: result.gradient), of: batch, value: result.loss, share: scale[0],
            sums: result.sums, likelihoods: pass.answers.map { $0[0].likelihood })
    }
}

extension Batch {
    /// The targets in the first answers of its examples.
    var chosenTokenCount: Int {
        examples.reduce(0) { count, example in count + example.isTarget[example.range(ofAnswer: 0)].count { $0 } }
    }
}

extension AnswerScores {
    /// The negative log-likelihood and the number of tokens.
    var likelihood: (nll: Double, tokens: Int) { (-policy.total, count) }
}

extension ObjectiveResult {
    /// What a batch of examples came to.
    ///
    /// - Parameters:
    ///   - loss: the scaled loss on the tape.
    ///   - batch: the batch.
    ///   - value: the scaled loss in f64.
    ///   - share: one over the number of the step's examples, so that the losses of its batches add up.
    ///   - sums: for the metrics.
    ///   - likelihoods: of each example, what evaluation takes the perplexity of.
    init(
        loss: Tensor, of batch: Batch, value: Double, share: Double, sums: [String: (sum: Double, count: Double)],
        likelihoods: [(nll: Double, tokens: Int)]
    ) {
        var sums = sums
        sums["loss"] = (value, share * Double(batch.examples.count))
        self.init(loss: loss, sums: sums, likelihoods: likelihoods)
    }
}
