import Datasets
import Layers
import Tensors

/// What training minimises.
///
/// An objective names its terms and counts them from masks alone, before any forward pass. The loop adds the counts of all
/// micro-batches of an optimizer step and hands back one scale a term, so that accumulation is exact whatever the masks are.
public protocol Objective {
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
}

extension Objective {
    /// Rows in order, as many to a pass as fit: for objectives whose rows do not depend on each other.
    public func passes(over batch: Batch, tokens: Int) -> [Batch] {
        var passes: [Batch] = []
        var room = 0
        for example in batch.examples {
            if example.tokens.count > room {
                passes.append(Batch(examples: []))
                room = tokens
            }
            passes[passes.count - 1].examples.append(example)
            room -= example.tokens.count
        }
        return passes
    }
}

/// What an objective computed for a micro-batch.
public struct ObjectiveResult {
    /// The loss; nil where the batch has nothing to train on.
    public var loss: Tensor?
    /// By metric: sum and count over the batch; the step's metric is the ratio of the totals.
    public var sums: [String: (sum: Double, count: Double)]
}
