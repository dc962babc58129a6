import Datasets
import Files
import Layers
import Models
import Tensors
import Trainers

/// Trains one objective: evaluation before, the loop with its checkpoints, evaluation after, the run's folder.
struct Fit {
    let run: Run
    let folder: RunFolder
    let session: ModelSession
    let weights: TrainedWeights
    let task: TrainingTask
    /// The training examples; nil where nobody has counted them.
    let rows: Int?
    /// What of the reference model a resumed run must agree with.
    let referenceIdentity: [String: String]

    private var recipe: Recipe { run.recipe }

    func callAsFunction() throws -> RunSummary {
        let steps = task.steps
        let identity = try RunIdentity(
            recipe, session, baseHash: weights.baseHash, reference: referenceIdentity)
        let optimizer = recipe.optimizer.makeOptimizer()
        let parameters = task.trained.trainableParameters()
        if let checkpoint = folder.checkpoint { try restore(checkpoint, identity, steps, parameters, optimizer) }
        try folder.prepare()
        try folder.write(recipe.resolved, to: "recipe.resolved.yaml")
        let evaluations = try EvaluationLog(folder)
        run.observer(.started(outline(steps, parameters)))
        if folder.checkpoint == nil, let result = try evaluate() {
            try record(result, step: 0, as: "before", evaluations)
        }

        let loop = try makeLoop(optimizer, evaluations, identity, steps)
        let outcome = try loop.run()
        if outcome == .interrupted {
            throw RunStopped(
                signal: run.stopSignal() ?? 15, checkpoint: "\(folder.checkpoints)/step-\(loop.state.step)")
        }
        try keepBest(loop.state, parameters, optimizer)
        if let result = try evaluate() { try record(result, step: loop.state.step, as: "after", evaluations) }
        loop.collectAlarms()
        try weights.save(to: folder, session)
        try task.save(folder)
        run.observer(.saved(path: folder.path))
        let alarms = loop.state.health.fired
        if !alarms.isEmpty {
            let list = alarms.map { "\($0.name) at step \($0.step)" }.joined(separator: ", ")
            run.observer(.note("alarms of the run: \(list)"))
        }
        return RunSummary(
            path: folder.path, steps: loop.state.step, before: evaluations["before"], after: evaluations["after"],
            alarms: alarms, stoppedBy: outcome == .alarmed ? alarms.first : nil)
    }

    private func makeLoop(
        _ optimizer: any Optimizer, _ evaluations: EvaluationLog, _ identity: RunIdentity, _ steps: Int
    ) throws -> TrainingLoop {
        let log = try MetricsLog(folder.metrics, keepingThrough: folder.checkpoint?.state.step ?? 0)
        let parameters = task.trained.trainableParameters()
        let hooks = TrainingHooks(
            didStep: { metrics in
                try log.append(metrics.json)
                run.observer(.step(StepReport(metrics, steps: steps)))
            },
            evaluate: task.evaluation.isEmpty ? nil : { try evaluate() },
            didEvaluate: { step, result, _ in try record(result, step: step, as: "step \(step)", evaluations) },
            save: { state in
                try log.sync()
                try task.sync()
                try TrainingCheckpoint.write(
                    to: folder.checkpoints, state: state, parameters: parameters, optimizer: optimizer,
                    identity: identity.recorded(totalSteps: steps), keep: recipe.output.keepCheckpoints,
                    protected: recipe.training.keepBest ? Set(state.best.map { [$0.step] } ?? []) : [])
            },
            shouldStop: { run.stopSignal() != nil }, note: { run.observer(.note($0)) })
        let batches = try task.makeBatches()
        if let state = folder.checkpoint?.state.batches { try batches.restore(state) }
        return TrainingLoop(
            model: task.trained, adapters: weights.active, objective: task.objective, optimizer: optimizer,
            batches: batches, options: try recipe.trainingOptions(totalSteps: steps), hooks: hooks,
            health: task.health,
            state: folder.checkpoint?.state ?? TrainingState())
    }

    private func restore(
        _ checkpoint: TrainingCheckpoint, _ identity: RunIdentity, _ steps: Int,
        _ parameters: [(path: String, parameter: Parameter)], _ optimizer: any Optimizer
    ) throws {
        try identity.check(against: checkpoint)
        try RunIdentity.checkSchedule(checkpoint, now: try recipe.optimizer.schedule(ofRunWith: steps)) {
            try recipe.optimizer.schedule(ofRunWith: $0)
        }
        try checkpoint.restore(parameters, optimizer)
        if checkpoint.kernelPath != Device.cpu.path {
            run.observer(
                .note(
                    "the run began on the kernels \"\(checkpoint.kernelPath)\" and goes on with \"\(Device.cpu.path)\": "
                        + "its numbers will differ by rounding"))
        }
    }

    /// Puts the weights of the best evaluation back, where the recipe asks for them.
    private func keepBest(
        _ state: TrainingState, _ parameters: [(path: String, parameter: Parameter)], _ optimizer: any Optimizer
    ) throws {
        guard recipe.training.keepBest, let best = state.best, best.step != state.step else { return }
        try TrainingCheckpoint("\(folder.checkpoints)/step-\(best.step)").restore(parameters, optimizer)
        run.observer(.note("the weights after step \(best.step), the best evaluation, are saved"))
    }

    private func evaluate() throws -> EvaluationResult? {
        guard !task.evaluation.isEmpty else { return nil }
        return try task.objective.evaluate(task.evaluation, adapters: weights.active)
    }

    private func record(_ result: EvaluationResult, step: Int, as name: String, _ log: EvaluationLog) throws {
        try log.record(result, as: name)
        run.observer(.evaluated(EvaluationReport(result, step: step)))
    }

    private func outline(_ steps: Int, _ parameters: [(path: String, parameter: Parameter)]) -> RunOutline {
        RunOutline(
            steps: steps, firstStep: folder.checkpoint?.state.step ?? 0, rows: rows,
            trainableParameters: parameters.reduce(0) { $0 + $1.parameter.value.count },
            parameters: task.trained.parameters().reduce(0) { $0 + $1.parameter.value.count })
    }
}

extension StepReport {
    init(_ metrics: StepMetrics, steps: Int) {
        self.init(
            step: metrics.step, steps: steps, loss: metrics.loss, tokensPerSecond: metrics.tokensPerSecond,
            peakMemoryBytes: metrics.peakMemoryBytes, score: metrics.objective["objective/scores"],
            kl: metrics.objective["objective/kl"])
    }
}

extension EvaluationReport {
    init(_ result: EvaluationResult, step: Int) {
        self.init(
            step: step, loss: result.loss, perplexity: result.perplexity,
            perplexityStandardError: result.perplexityStandardError, tokens: result.tokens,
            accuracy: result.metrics["rewards/accuracies"] ?? result.metrics["accuracy"],
            margin: result.metrics["rewards/margins"] ?? result.metrics["margin"],
            score: result.metrics["objective/scores"], kl: result.metrics["objective/kl"])
    }
}
