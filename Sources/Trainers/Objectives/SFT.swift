import Datasets
import Layers
import Models
import Tensors

/// Supervised fine-tuning: the mean negative log-likelihood of the trained tokens, `L = Σ −log p(token) / Σ 1`.
public struct SFT: Objective {
    private let model: CausalLM
    private let predictsFirstToken: Bool

    /// Trains `model` on the targets of its examples.
    ///
    /// - Parameters:
    ///   - model: whose adapters or weights change.
    ///   - predictsFirstToken: whether active adapters put virtual tokens before every sequence, the last of which predicts its first
    ///     token where that is a target.
    public init(_ model: CausalLM, predictsFirstToken: Bool = false) {
        self.model = model
        self.predictsFirstToken = predictsFirstToken
    }

    /// The number of targets.
    public func counts(_ batch: Batch) -> [Int] {
        [batch.examples.reduce(0) { $0 + $1.isTarget.dropFirst(predictsFirstToken ? 0 : 1).count { $0 } }]
    }

    /// The scaled sum of negative log-likelihoods, with TRL's metrics beside it.
    public func loss(
        _ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext
    ) -> ObjectiveResult {
        let batch = TokenRows(batch.examples, predictsFirstToken: predictsFirstToken)
        guard !batch.targets.isEmpty else { return ObjectiveResult(loss: nil, sums: [:]) }
        let coefficients = [Float](repeating: Float(-scale[0]), count: batch.targets.count)
        let (loss, scores) = model.score(
            batch.tokens, rows: batch.rows, targets: batch.targets, coefficients: coefficients,
            makeContext(batch.layout))
        let count = Double(batch.targets.count)
        func total(_ values: [Float]) -> Double { values.reduce(0.0) { $0 + Double($1) } }
        return ObjectiveResult(
            loss: loss,
            sums: [
                "loss": (-total(scores.logProbabilities), count), "entropy": (total(scores.entropies), count),
                "mean_token_accuracy": (total(scores.hits), count),
            ])
    }

    /// The likelihood of the targets, with errors clustered by row.
    public func evaluate(_ examples: [Example], adapters: [String]) -> EvaluationResult {
        Evaluator(model, adapters: adapters).evaluate(examples)
    }
}
