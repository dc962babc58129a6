import Datasets
import Files

/// The micro-batches of one optimizer step.
public struct StepBatches {
    /// In the order they run. None: the step is passed over, and weights stay as they are.
    public var batches: [Batch]
    /// Epochs completed once this step is done, as a fraction.
    public var epoch: Double
    /// What the source measured while it made them.
    public var metrics: [String: Double]
    /// Whether it did so for this step; else the metrics are those of the step before, once more.
    public var isMeasured: Bool

    /// Makes a step.
    public init(batches: [Batch], epoch: Double, metrics: [String: Double] = [:], isMeasured: Bool = true) {
        self.batches = batches
        self.epoch = epoch
        self.metrics = metrics
        self.isMeasured = isMeasured
    }
}

/// Where a training loop gets its batches: a pure function of the step, or of the step and ``state``, so that a resumed run goes on
/// where it stopped.
public protocol BatchSource: AnyObject {
    /// The micro-batches of a step, counted from 0. Steps are asked for in rising order, from anywhere.
    func step(_ index: Int) throws -> StepBatches
    /// What a checkpoint must hold besides the step; nil for nothing.
    var state: JSON? { get }
    /// Goes on from the state of a checkpoint.
    ///
    /// - Throws: `InputError` where it is none of this source's.
    func restore(_ state: JSON) throws
}

extension BatchSource {
    /// Most sources follow from the step.
    public var state: JSON? { nil }

    /// There is nothing to restore.
    public func restore(_ state: JSON) throws {}
}

/// Batches that a plan lays out before the first step.
public final class PlannedBatches: BatchSource {
    private let plan: BatchPlan
    private let example: (Int) -> Example
    private var epoch = -1
    private var firstStep = 0
    private var steps: [[[Int]]] = []

    /// Follows `plan`; `example` gives the example of an index.
    public init(_ plan: BatchPlan, example: @escaping (Int) -> Example) {
        self.plan = plan
        self.example = example
    }

    /// The micro-batches of a step; past the last epoch of a run, those of the next.
    public func step(_ index: Int) throws -> StepBatches {
        precondition(index >= firstStep, "step \(index) after the epoch that begins at \(firstStep)")
        while index >= firstStep + steps.count {
            firstStep += steps.count
            epoch += 1
            steps = plan.steps(epoch: epoch)
        }
        let batches = steps[index - firstStep].map { Batch(examples: $0.map(example)) }
        // In micro-batches, as transformers counts: the last step of an epoch may have fewer.
        let done = steps[...(index - firstStep)].reduce(0) { $0 + $1.count }
        let share = Double(done) / Double(steps.reduce(0) { $0 + $1.count })
        return StepBatches(batches: batches, epoch: Double(epoch) + share)
    }
}

/// Batches that are made as the data streams by.
public final class StreamedSource: BatchSource {
    private let stream: StreamedBatches
    private var next = 0

    /// Follows `stream`, which must be at its start.
    public init(_ stream: StreamedBatches) { self.stream = stream }

    /// The micro-batches of a step; those before it that were not asked for are read and passed over.
    public func step(_ index: Int) throws -> StepBatches {
        precondition(index >= next, "step \(index) of a stream that is at \(next)")
        while next < index {
            _ = try stream.nextStep()
            next += 1
        }
        next += 1
        let batches = try stream.nextStep()
        return StepBatches(batches: batches, epoch: Double(stream.epoch))
    }
}
