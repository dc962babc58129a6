import Files
import Models
import TestSupport
import Testing
import Trainers

/// A run that stops anywhere and goes on leaves to the bit what an uninterrupted one leaves.
@Suite("Resuming") struct ResumeTests {
    /// Epochs of six steps of two micro-batches, shuffled; evaluated every third step, saved every second.
    private static var run: TinyRun {
        var run = TinyRun()
        run.size = .rows(2)
        run.accumulation = 2
        run.shuffle = true
        run.options.totalSteps = 14
        run.options.evaluationSteps = 3
        run.options.saveSteps = 2
        return run
    }

    @Test("stopped by a signal in the middle of an epoch", arguments: [1, 4, 6, 9, 13])
    func interrupted(_ step: Int) throws {
        let folders = try (TemporaryFolder(), TemporaryFolder())
        let whole = try go(in: folders.0)
        #expect(whole.outcome == .finished)
        #expect(try go(in: folders.1, stopAfter: step).outcome == .interrupted)
        try checkSame(go(in: folders.1), whole, folders)
    }

    @Test("killed after a step that was not saved", arguments: [3, 5, 7, 13])
    func killed(_ step: Int) throws {
        let folders = try (TemporaryFolder(), TemporaryFolder())
        let whole = try go(in: folders.0)
        #expect(throws: Killed.self) { try go(in: folders.1, killAfter: step) }
        let torn = try folders.1.read("metrics.jsonl") + "{\"step\": \(step + 1), \"epo"
        try folders.1.write(torn, to: "metrics.jsonl")
        try checkSame(go(in: folders.1), whole, folders)
    }

    @Test("stopped again and again, with a damaged checkpoint among them")
    func repeatedly() throws {
        let folders = try (TemporaryFolder(), TemporaryFolder())
        let whole = try go(in: folders.0)
        for step in [2, 5, 6, 11] { _ = try go(in: folders.1, stopAfter: step) }
        try folders.1.write("", to: "checkpoints/step-11/optimizer.safetensors")
        try checkSame(go(in: folders.1), whole, folders)
    }

    @Test("a finished run that is resumed does nothing")
    func finished() throws {
        let folder = try TemporaryFolder()
        let whole = try go(in: folder)
        let again = try go(in: folder)
        #expect(again.outcome == .finished && again.steps == 0)
        #expect(again.model.isSameModel(as: whole.model))
    }

    private struct Killed: Error {}
    private struct Result {
        var outcome: TrainingOutcome
        var model: TrainedModel
        var steps: Int
        var evaluations: [Double]
    }

    /// One process's life: a new model and optimizer, the newest checkpoint put back where there is one, as far as it gets.
    private func go(in folder: TemporaryFolder, stopAfter: Int? = nil, killAfter: Int? = nil) throws -> Result {
        var run = Self.run
        let checkpoints = folder.file("checkpoints")
        let checkpoint = TrainingCheckpoint.newest(in: checkpoints)
        // Another seed for the adapter's start: what is not restored shows.
        run.seed = checkpoint == nil ? run.seed : 99
        let model = try run.adaptedModel()
        run.seed = Self.run.seed
        let optimizer = run.makeOptimizer()
        try checkpoint?.restore(model.trainableParameters(), optimizer)
        let log = try MetricsLog(folder.file("metrics.jsonl"), keepingThrough: checkpoint?.state.step ?? 0)
        var steps: [StepMetrics] = []
        var evaluations: [Double] = []
        let hooks = TrainingHooks(
            didStep: {
                steps.append($0)
                try log.append($0.json)
                if $0.step == killAfter { throw Killed() }
            },
            evaluate: { Evaluator(model, adapters: ["default"]).evaluate(Array(TinyRun.rows.prefix(3))) },
            didEvaluate: { _, result, _ in evaluations.append(result.nll) },
            save: { state in
                try log.sync()
                try TrainingCheckpoint.write(
                    to: checkpoints, state: state, parameters: model.trainableParameters(), optimizer: optimizer,
                    identity: [:], keep: 2)
            }, shouldStop: { steps.last?.step == stopAfter })
        let loop = try run.loop(model, optimizer, hooks: hooks, state: checkpoint?.state ?? TrainingState())
        let outcome = try loop.run()
        return Result(
            outcome: outcome, model: TrainedModel(model, optimizer, steps), steps: steps.count, evaluations: evaluations
        )
    }

    private func checkSame(
        _ resumed: Result, _ whole: Result, _ folders: (TemporaryFolder, TemporaryFolder)
    ) throws {
        #expect(resumed.outcome == .finished && resumed.steps < whole.steps)
        #expect(resumed.model.isSameModel(as: whole.model))
        #expect(
            !resumed.evaluations.isEmpty && resumed.evaluations == whole.evaluations.suffix(resumed.evaluations.count))
        let logs = try [folders.0, folders.1].map { folder in
            try folder.read("metrics.jsonl").split(separator: "\n").map { try timeless(JSON(parsing: String($0))) }
        }
        #expect(logs[0].count == 14 && logs[0] == logs[1])
        let last = try [folders.0, folders.1].map { try $0.read("checkpoints/step-14/manifest.json") }
        #expect(last[0] == last[1])
    }
}
