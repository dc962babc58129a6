import Datasets
import Files
import Foundation
import Layers
import Tensors

/// The one training loop: accumulation, clipping, schedule, evaluation, alarms, checkpoints. What is minimised is the objective's to
/// say.
public final class TrainingLoop {
    private let objective: any Objective
    private let optimizer: any Optimizer
    private let batches: any BatchSource
    private let options: TrainingOptions
    private let hooks: TrainingHooks
    private let health: HealthMonitor
    private let adapters: [String]
    private let parameters: [(path: String, parameter: Parameter)]
    /// Where the run is.
    public private(set) var state: TrainingState

    /// Makes a loop that trains the trainable parameters of `model`.
    ///
    /// - Parameters:
    ///   - model: whose trainable parameters change.
    ///   - adapters: the adapters that are active while training.
    ///   - objective: what is minimised.
    ///   - optimizer: its state must match `state`.
    ///   - batches: the data.
    ///   - options: how the run goes.
    ///   - hooks: what happens beside it.
    ///   - health: what watches it.
    ///   - state: where to begin.
    public init(
        model: any Module, adapters: [String], objective: any Objective, optimizer: any Optimizer,
        batches: any BatchSource, options: TrainingOptions, hooks: TrainingHooks,
        health: HealthMonitor = HealthMonitor(), state: TrainingState = .init()
    ) {
        self.objective = objective
        self.optimizer = optimizer
        self.batches = batches
        self.options = options
        self.hooks = hooks
        self.health = health
        self.adapters = adapters
        self.state = state
        parameters = model.trainableParameters()
        precondition(!parameters.isEmpty, "nothing in the model is trainable")
    }

    /// Runs to the end, an early stop, an alarm or an interruption.
    ///
    /// - Returns: why it came back.
    /// - Throws: `RunError` for a loss or gradient that is not finite, and what the hooks throw.
    public func run() throws -> TrainingOutcome {
        // A run that stopped has nothing to go on with.
        if let stop { return stop }
        // An evaluation before the run leaves large free buffers, which the state would hold for good.
        parameters.first?.parameter.value.device.trim()
        optimizer.makeState(for: parameters)
        while state.step < options.totalSteps {
            try hooks.didStep(step())
            let interrupted = hooks.shouldStop()
            var isBest = false
            if let every = options.evaluationSteps, state.step % every == 0 || state.step == options.totalSteps {
                isBest = try evaluate()
            }
            let isLast = state.step == options.totalSteps || stop != nil || interrupted
            let isDue = options.saveSteps.map { state.step % $0 == 0 } ?? false
            if isLast || isDue || (isBest && options.savesBest) { try hooks.save(state) }
            if let stop { return stop }
            if interrupted && state.step < options.totalSteps { return .interrupted }
        }
        return .finished
    }

    /// Why the run stops where it is; nil where it goes on.
    private var stop: TrainingOutcome? {
        if health.limits.stops && !state.health.fired.isEmpty { return .alarmed }
        let isPatient = options.earlyStoppingPatience.map { state.evaluationsSinceBest < max(1, $0) } ?? true
        return isPatient ? nil : .stoppedEarly
    }

    /// One optimizer step.
    private func step() throws -> StepMetrics {
        let start = ContinuousClock.now
        let group = try batches.step(state.step)
        let totals = group.batches.map(objective.counts).reduce([]) { sums, counts in
            sums.isEmpty ? counts : zip(sums, counts).map(+)
        }
        let (sums, ranges) = try accumulate(group, scale: totals.map { $0 == 0 ? 0 : 1 / Double($0) })
        state.batches = batches.state
        let norm = try gradientNorm(group, isTrained: totals.contains { $0 > 0 })
        let rate = options.learningRate * options.schedule.factor(state.step)
        let clip = options.maxGradientNorm.map { min(1, $0 / (norm + 1e-6)) } ?? 1
        if !group.batches.isEmpty {
            optimizer.step(parameters, learningRate: rate, gradientScale: Float(clip))
        }
        for (_, parameter) in parameters { parameter.gradient = nil }

        let tokens = group.batches.reduce(0) { $0 + $1.tokenCount }
        state.step += 1
        state.tokens += tokens
        let alarms = alarms(sums, group)
        var metrics = sums.mapValues { $0.count == 0 ? 0 : $0.sum / $0.count }.merging(ranges.metrics) { $1 }
        metrics.merge(group.metrics) { $1 }
        let time = (ContinuousClock.now - start).components
        let seconds = Double(time.seconds) + Double(time.attoseconds) * 1e-18
        return StepMetrics(
            step: state.step, epoch: group.epoch, loss: metrics.removeValue(forKey: "loss") ?? 0, gradientNorm: norm,
            learningRate: rate, tokens: tokens,
            trainedTokens: group.batches.reduce(0) { $0 + $1.targetCount }, tokensPerSecond: Double(tokens) / seconds,
            peakMemoryBytes: processPeakMemory(), objective: metrics, alarms: alarms)
    }

    /// The alarms that fire for the first time in the step just taken. What a rollout measured counts once, not in each of its steps.
    private func alarms(_ sums: [String: (sum: Double, count: Double)], _ group: StepBatches) -> [String] {
        var measured = sums.compactMapValues { $0.count == 0 ? nil : $0.sum / $0.count }
        if group.isMeasured { measured.merge(group.metrics) { $1 } }
        return noted(health.check(step: state.step, measured: measured, &state.health)).map(\.name)
    }

    /// Takes alarms that were raised after the last step, as by the evaluation of what was trained.
    public func collectAlarms() { _ = noted(health.collect(step: state.step, &state.health)) }

    private func noted(_ fired: [FiredAlarm]) -> [FiredAlarm] {
        for alarm in fired { hooks.note("alarm \(alarm.name) at step \(alarm.step): \(alarm.sentence)") }
        return fired
    }

    /// Forward and backward over all micro-batches; gradients end in the parameters. Returns what metrics are made of.
    private func accumulate(
        _ group: StepBatches, scale: [Double]
    ) throws -> (sums: [String: (sum: Double, count: Double)], ranges: MetricRanges) {
        var sums: [String: (sum: Double, count: Double)] = [:]
        var ranges = MetricRanges()
        let passes = group.batches.enumerated().flatMap { number, batch in
            objective.passes(over: batch, tokens: options.tokensPerPass).map { (number, $0) }
        }
        for (number, batch) in passes {
            let tape = Tape()
            let result = objective.loss(batch, scale: scale) { layout in
                ForwardContext(
                    layout, tape: tape, adapters: adapters, dropout: .init(seed: options.seed, step: state.step),
                    recompute: options.recompute)
            }
            for (name, value) in result.sums {
                sums[name, default: (0, 0)].sum += value.sum
                sums[name, default: (0, 0)].count += value.count
            }
            ranges.add(result.ranges)
            guard let loss = result.loss else { continue }
            guard loss.scalar.isFinite else {
                throw RunError(
                    "the loss is not finite at step \(state.step + 1), micro-batch \(number + 1) of \(group.batches.count) "
                        + "(\(Self.rows(of: [batch])))")
            }
            tape.backward(from: loss)
        }
        return (sums, ranges)
    }

    /// The rows of a dataset file that batches hold, counted from 1.
    private static func rows(of batches: [Batch]) -> String {
        let rows = batches.flatMap(\.examples).map { String($0.row + 1) }
        return "dataset rows " + rows.prefix(20).joined(separator: ", ") + (rows.count > 20 ? ", …" : "")
    }

    /// The L2 norm over all gradients, summed in f64.
    private func gradientNorm(_ group: StepBatches, isTrained: Bool) throws -> Double {
        let missing = parameters.filter { $0.parameter.gradient == nil }.map(\.path)
        if state.step == 0, isTrained, !missing.isEmpty {
            throw RunError(
                "no gradient reaches \(missing.count) trainable parameters: "
                    + missing.prefix(4).joined(separator: ", ") + (missing.count > 4 ? ", …" : ""))
        }
        let squares = parameters.map { $0.parameter.gradient?.sumOfSquares ?? 0 }
        let norm = squares.reduce(0, +).squareRoot()
        // What rounding leaves of scores that are all the same is no gradient.
        if isTrained, norm > 1e-9 { watchGradients(squares) }
        guard norm.isFinite else {
            throw RunError(
                "the gradient norm is not finite at step \(state.step + 1) (\(Self.rows(of: group.batches)))")
        }
        return norm
    }

    /// Looks for parameters without a gradient in the first step after two that changed weights: LoRA's A has none as long as B is zero,
    /// and below a head that begins at zero B has none either.
    /// A step in which nothing has one, as where all answers are worth the same, says nothing.
    private func watchGradients(_ squares: [Double]) {
        if state.health.changes == 2, health.limits.watchesGradients {
            let still = zip(parameters, squares).filter { $1 == 0 }.map(\.0.path)
            if !still.isEmpty {
                health.raise(
                    "gradient",
                    "the gradient of \(still.count) trainable parameters is still zero: "
                        + still.prefix(4).joined(separator: ", ") + (still.count > 4 ? ", …" : ""))
            }
        }
        // The first step of a warm-up has the rate 0.
        if options.schedule.factor(state.step) > 0 { state.health.changes = min(3, state.health.changes + 1) }
    }

    /// Whether the evaluation is the best so far.
    private func evaluate() throws -> Bool {
        guard let result = try hooks.evaluate?() else { return false }
        let isBest =
            result.loss.isFinite && state.best.map { result.loss < $0.loss - options.earlyStoppingThreshold } ?? true
        if isBest {
            state.best = .init(loss: result.loss, step: state.step)
            state.evaluationsSinceBest = 0
        } else {
            state.evaluationsSinceBest += 1
        }
        try hooks.didEvaluate(state.step, result, isBest)
        return isBest
    }
}
