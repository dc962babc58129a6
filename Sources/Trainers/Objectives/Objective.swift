import Datasets
import Layers
import Tensors

/// What training minimises.
///
/// An objective names its terms and counts them from masks alone, before any forward pass. The loop adds the counts of all
/// micro-batches of an optimizer step and hands back one scale a term, so that accumulation is exact whatever the masks are.
public protocol Objective {
    /// Whether a batch's loss is more than the sum of those of its examples: then dividing a batch changes the step.
    var isBatchCoupled: Bool { get }
    /// The number of things each term is a mean over, in this batch; one a term.
    func counts(_ batch: Batch) -> [Int]
    /// A batch in parts that hold at most so many tokens each where they can, and whose losses add up to that of the whole.
    func passes(over batch: Batch, tokens: Int) -> [Batch]
    /// The scaled sum of the batch's terms, on the context's tape.
    ///
    /// - Parameters:
    ///   - batch: the micro-batch.
    ///   - scale: weight over total count, one a term.
    ///   - makeContext: the context of a forward pass over a layout.
    /// - Returns: the loss, a tensor of one element, and sums that become the step's metrics.
    func loss(_ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext) -> ObjectiveResult
    /// What the model, with adapters active, makes of examples that it is not trained on.
    ///
    /// - Throws: what keeps it from judging them.
    func evaluate(_ examples: [Example], adapters: [String]) throws -> EvaluationResult
}

extension Objective {
    /// Examples that do not depend on each other.
    public var isBatchCoupled: Bool { false }

    /// Examples in order, as many to a pass as fit; all in one where they depend on each other.
    public func passes(over batch: Batch, tokens: Int) -> [Batch] {
        isBatchCoupled ? [batch] : batch.examples.parts(ofTokens: tokens).map(Batch.init(examples:))
    }

    /// The loss and its metrics over all examples, with the likelihood of those that are to be made probable.
    public func evaluate(_ examples: [Example], adapters: [String]) -> EvaluationResult {
        evaluationOfLoss(examples, adapters: adapters)
    }

    /// The same, for objectives that add to it.
    func evaluationOfLoss(_ examples: [Example], adapters: [String]) -> EvaluationResult {
        let scale = counts(Batch(examples: examples)).map { $0 == 0 ? 0 : 1 / Double($0) }
        var sums = MetricSums()
        var ranges = MetricRanges()
        var likelihoods: [(nll: Double, tokens: Int)] = []
        for part in examples.parts(ofTokens: Evaluator.tokensPerBatch) {
            let result = loss(Batch(examples: part), scale: scale) { ForwardContext($0, adapters: adapters) }
            for (name, value) in result.sums { sums.add(name, value.sum, count: value.count) }
            ranges.add(result.ranges)
            likelihoods += result.likelihoods
        }
        var evaluation = EvaluationResult(rows: likelihoods, skipped: 0)
        evaluation.metrics = sums.values.mapValues { $0.count == 0 ? 0 : $0.sum / $0.count }
            .merging(ranges.metrics) { $1 }
        return evaluation
    }
}

/// What an objective computed for a micro-batch.
public struct ObjectiveResult {
    /// The loss; nil where the batch has nothing to train on.
    public var loss: Tensor?
    /// By metric: sum and count over the batch; the step's metric is the ratio of the totals.
    public var sums: [String: (sum: Double, count: Double)]
    /// By metric: the smallest and the largest value over the batch, which become `min_` and `max_` of that name.
    public var ranges: [String: ClosedRange<Double>] = [:]
    /// Of each example that is to be made probable: its negative log-likelihood and tokens, for evaluation.
    public var likelihoods: [(nll: Double, tokens: Int)] = []
}

/// Ranges of several batches, joined.
struct MetricRanges {
    private var values: [String: ClosedRange<Double>] = [:]

    mutating func add(_ ranges: [String: ClosedRange<Double>]) {
        values.merge(ranges) { min($0.lowerBound, $1.lowerBound)...max($0.upperBound, $1.upperBound) }
    }

    /// Their ends under the names of metrics.
    var metrics: [String: Double] {
        values.reduce(into: [:]) { metrics, range in
            metrics["min_\(range.key)"] = range.value.lowerBound
            metrics["max_\(range.key)"] = range.value.upperBound
        }
    }
}
