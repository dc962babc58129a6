import Models
import TestSupport
import Testing
import Trainers

/// When a run evaluates, saves and stops, with evaluations made up.
@Suite("Evaluation, best checkpoint and early stopping") struct EvaluationScheduleTests {
    @Test("the lowest loss is the best, and patience counts from it")
    func earlyStopping() throws {
        let run = try events(losses: [3, 2, 2.5, 2, 1.9, 1]) { $0.earlyStoppingPatience = 2 }
        #expect(run.outcome == .stoppedEarly)
        #expect(run.events == ["1: 3.0 best", "2: 2.0 best", "3: 2.5", "4: 2.0", "save 4"])
        #expect(run.state.best == .init(loss: 2, step: 2) && run.state.evaluationsSinceBest == 2)
    }

    @Test("an improvement below the threshold is none")
    func threshold() throws {
        let run = try events(losses: [3, 2.95, 2.85, 2.8, 2.5, 2.41]) {
            $0.earlyStoppingPatience = 3
            $0.earlyStoppingThreshold = 0.1
        }
        #expect(run.outcome == .finished)
        #expect(
            run.events == [
                "1: 3.0 best", "2: 2.95", "3: 2.85 best", "4: 2.8", "5: 2.5 best", "6: 2.41", "save 6",
            ])
    }

    @Test("without patience a run goes on; a loss that is not finite is never the best")
    func notFinite() throws {
        let run = try events(losses: [.nan, 2, .nan, .infinity, 3, 1]) { _ in }
        #expect(run.outcome == .finished)
        #expect(run.events == ["1: nan", "2: 2.0 best", "3: nan", "4: inf", "5: 3.0", "6: 1.0 best", "save 6"])
    }

    @Test("evaluations and checkpoints come at their own steps, and both at the last one")
    func cadence() throws {
        let run = try events(losses: [3, 2, 1]) {
            $0.totalSteps = 7
            $0.evaluationSteps = 3
            $0.saveSteps = 2
        }
        #expect(
            run.events == ["save 2", "3: 3.0 best", "save 4", "6: 2.0 best", "save 6", "7: 1.0 best", "save 7"])
    }

    @Test("a best evaluation is saved at its own step where it is to be kept")
    func best() throws {
        let run = try events(losses: [3, 2, 2.5, 1]) {
            $0.totalSteps = 4
            $0.saveSteps = 3
            $0.savesBest = true
        }
        #expect(
            run.events == [
                "1: 3.0 best", "save 1", "2: 2.0 best", "save 2", "3: 2.5", "save 3", "4: 1.0 best", "save 4",
            ])
    }

    @Test("stopping goes on counting after a resume, and a run that stopped early stays stopped")
    func resumed() throws {
        var state = TrainingState()
        state.step = 3
        state.best = .init(loss: 1, step: 1)
        state.evaluationsSinceBest = 2
        let run = try events(losses: [2, 1], from: state) { $0.earlyStoppingPatience = 3 }
        #expect(run.outcome == .stoppedEarly && run.events == ["4: 2.0", "save 4"])
        let again = try events(losses: [], from: run.state) { $0.earlyStoppingPatience = 3 }
        #expect(again.outcome == .stoppedEarly && again.events.isEmpty)
        let patient = try events(losses: [0.5, 2], from: run.state) { $0.earlyStoppingPatience = 9 }
        #expect(patient.outcome == .finished && patient.events == ["5: 0.5 best", "6: 2.0", "save 6"])
    }

    @Test("an interruption saves once, after the evaluation due at its step")
    func interruption() throws {
        let run = try events(losses: [1, 2, 3, 4, 5, 6], stopAfter: 2) { _ in }
        #expect(run.outcome == .interrupted && run.events == ["1: 1.0 best", "2: 2.0", "save 2"])
        let last = try events(losses: [1, 2, 3, 4, 5, 6], stopAfter: 6) { $0.evaluationSteps = nil }
        #expect(last.outcome == .finished && last.events == ["save 6"])
    }

    private struct Run {
        var outcome: TrainingOutcome
        var events: [String]
        var state: TrainingState
    }

    private func events(
        losses: [Double], from state: TrainingState = TrainingState(), stopAfter: Int? = nil,
        _ change: (inout TrainingOptions) -> Void
    ) throws -> Run {
        var run = TinyRun()
        run.options.evaluationSteps = 1
        change(&run.options)
        let model = try run.adaptedModel()
        var losses = losses[...]
        var events: [String] = []
        var step = state.step
        let hooks = TrainingHooks(
            didStep: { step = $0.step },
            evaluate: { losses.popFirst().map { EvaluationResult(rows: [($0, 1)], skipped: 0) } },
            didEvaluate: { events.append("\($0): \($1.nll)" + ($2 ? " best" : "")) },
            save: { events.append("save \($0.step)") }, shouldStop: { step == stopAfter })
        let loop = try run.loop(model, AdamW(), hooks: hooks, state: state)
        return Run(outcome: try loop.run(), events: events, state: loop.state)
    }
}
