import Datasets
import Layers
import Models
import Tensors

/// Kahneman–Tversky optimisation: the mean over answers that are desirable or not of a ``LabelLoss``. A pair is one answer of each kind.
///
/// The divergence that `kto` measures against is estimated in each micro-batch, from its prompts with the answers of the prompts
/// before them, the first with those of the last. Its terms are the answers, the desirable and the undesirable ones.
public struct KTO: Objective {
    private let model: CausalLM
    private let reference: ReferenceModel
    private let labelLoss: LabelLoss
    private let maxLength: Int

    /// Trains `model` on labelled answers.
    ///
    /// - Parameters:
    ///   - model: what is trained.
    ///   - reference: what its change is measured against; for `kto` a model, as the answers it scores are paired anew with prompts.
    ///   - loss: of a batch of answers.
    ///   - maxLength: where prompts with the answers of others are cut.
    public init(_ model: CausalLM, reference: ReferenceModel, loss: LabelLoss = LabelLoss(), maxLength: Int) {
        self.model = model
        self.reference = reference
        labelLoss = loss
        self.maxLength = maxLength
    }

    /// Whether the batch shares an estimate.
    public var isBatchCoupled: Bool { labelLoss.type == .kto }

    /// The number of answers, of desirable ones and of undesirable ones.
    public func counts(_ batch: Batch) -> [Int] {
        let labels = batch.examples.flatMap(\.labels)
        let desirable = labels.count { $0 }
        return [labels.count, desirable, labels.count - desirable]
    }

    /// The scaled loss, with TRL's metrics beside it.
    public func loss(
        _ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext
    ) -> ObjectiveResult {
        let divergence = isBatchCoupled ? divergence(batch.examples, makeContext) : 0
        let known = reference.logProbabilities(batch.examples)
        let pass = AnswerPass(model, batch.examples, reference: known, makeContext)
        let labelled = zip(batch.examples, pass.answers).flatMap { example, answers in
            zip(answers, example.labels).map { (scores: $0, isDesirable: $1) }
        }
        var (value, gradient, sums) = labelLoss(
            labelled, divergence: divergence,
            scale: .init(answers: scale[0], desirable: scale[1], undesirable: scale[2]))
        sums["loss"] = (value, scale[0] * Double(labelled.count))
        var rest = gradient[...]
        let nested = pass.answers.map { answers in
            defer { rest = rest.dropFirst(answers.count) }
            return Array(rest.prefix(answers.count))
        }
        return ObjectiveResult(
            loss: pass.loss(value, gradient: nested), sums: sums,
            likelihoods: labelled.filter(\.isDesirable).map(\.scores.likelihood))
    }

    /// The estimate of the divergence from the reference, without a gradient.
    private func divergence(_ examples: [Example], _ makeContext: (SequenceLayout) -> ForwardContext) -> Double {
        let mismatched = Self.mismatched(examples, maxLength: maxLength)
        let known = reference.logProbabilities(mismatched)
        let pass = AnswerPass(model, mismatched, reference: known) { layout in
            var context = makeContext(layout)
            context.tape = nil
            return context
        }
        return LabelLoss.divergence(mismatched: pass.answers.flatMap(\.self))
    }

    /// Each prompt with the answers of the one before it, cut to length.
    static func mismatched(_ examples: [Example], maxLength: Int) -> [Example] {
        examples.indices.map { index in
            let (own, other) = (examples[index], examples[index == 0 ? examples.count - 1 : index - 1])
            let boundary = own.answers[0]
            var example = Example(
                tokens: Array(own.tokens[..<boundary]), isTarget: [Bool](repeating: false, count: boundary),
                row: own.row)
            for answer in other.answers.indices {
                let tokens = other.tokens[other.range(ofAnswer: answer)].prefix(maxLength - boundary)
                example.answers.append(example.tokens.count)
                example.isTarget += tokens.indices.map { boundary > 0 || $0 > tokens.startIndex }
                example.tokens += tokens
            }
            return example
        }
    }
}

extension Example {
    /// Whether each answer is desirable: by its label, or in a pair the chosen one.
    var labels: [Bool] { judgement.label.map { [$0] } ?? answers.indices.map { $0 == 0 } }
}
