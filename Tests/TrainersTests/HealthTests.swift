import Adapters
import Datasets
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Each alarm on a made stream of metrics that has its fault, and on one that has not.
@Suite("Alarms") struct HealthTests {
    private typealias Metrics = [String: Double]

    /// A stream of steps, what it fires, and at which step.
    private func fired(
        _ limits: HealthLimits = HealthLimits(), steps: Int = 60, _ metrics: (Int) -> Metrics
    ) -> [String: Int] {
        let monitor = HealthMonitor(limits)
        var state = HealthState()
        var found: [String: Int] = [:]
        for step in 1...steps {
            for alarm in monitor.check(step: step, measured: metrics(step), &state) {
                #expect(found[alarm.name] == nil && alarm.step == step && !alarm.sentence.hasSuffix("."))
                found[alarm.name] = step
            }
        }
        #expect(state.fired.reduce(into: [:]) { $0[$1.name] = $1.step } == found)
        return found
    }

    /// What a batch adds to a metric: a wave whose mean over ten steps is about zero.
    private func noise(_ step: Int) -> Double { [3.0, -4, 1, 5, -2, -5, 2, 4, -3, -1][(step * 7) % 10] }

    @Test func chosenAnswersThatLoseProbability() {
        func stream(fall: Double, noise size: Double, reference: Bool) -> [String: Int] {
            fired { step in
                // Rows differ by `size`, of which policy and reference see the same.
                let rows = -200 + size * noise(step * step)
                var metrics = ["logps/chosen": rows - fall * Double(step), "rewards/chosen": 0.1]
                if reference { metrics["logps/ref_chosen"] = rows }
                return metrics
            }
        }
        #expect(stream(fall: 2, noise: 1, reference: false)["chosen_logps"] != nil)
        #expect(stream(fall: 2, noise: 40, reference: true)["chosen_logps"] != nil)
        // As far as a step or two of noise: nobody can tell.
        #expect(stream(fall: 1.2, noise: 60, reference: false).isEmpty)
        #expect(stream(fall: 0.5, noise: 1, reference: true).isEmpty)
        #expect(stream(fall: -2, noise: 10, reference: true).isEmpty)
        // Later rows are longer, which the reference sees too.
        #expect(
            fired { step in
                let rows = -200 - 3 * Double(step)
                return ["logps/chosen": rows, "logps/ref_chosen": rows]
            }.isEmpty)
        var limits = HealthLimits()
        limits.chosenLogpsDrop = nil
        #expect(fired(limits) { ["logps/chosen": -200 - 9 * Double($0)] }.isEmpty)
    }

    @Test func marginsThatSaturate() {
        #expect(fired { ["rewards/accuracies": $0 == 5 ? 0.5 : 1, "rewards/margins": 11] } == ["margins": 15])
        #expect(fired { ["rewards/accuracies": $0 % 8 == 0 ? 0.75 : 1, "rewards/margins": 30] }.isEmpty)
        #expect(fired { ["rewards/accuracies": 1, "rewards/margins": $0 % 8 == 0 ? 9 : 30] }.isEmpty)
        var limits = HealthLimits()
        limits.margin = 40
        #expect(fired(limits) { _ in ["rewards/accuracies": 1, "rewards/margins": 30] }.isEmpty)
    }

    @Test func aKLThatRunsAway() {
        var limits = HealthLimits()
        #expect(fired(limits) { ["objective/kl": Double($0)] }.isEmpty)
        limits.kl = 10
        // The mean of three: (9 + 10 + 11) / 3 is not above the limit.
        #expect(fired(limits) { ["objective/kl": Double($0)] } == ["kl": 12])
        #expect(fired(limits) { ["objective/kl": $0 % 3 == 0 ? 25 : 1] }.isEmpty)
        #expect(fired(limits) { ["objective/kl": $0 == 30 ? .nan : 9] }.isEmpty)
    }

    @Test(arguments: ["policy/entropy_avg", "entropy"])
    func anEntropyThatCollapses(metric: String) {
        let falling = { (step: Int) -> Metrics in [metric: 2 * (1 - 0.02 * Double(min(step, 48)))] }
        // The first five steps have a mean of 1.88, the last at most 0.08.
        #expect(fired(HealthLimits(), falling)["entropy"].map { (45...55).contains($0) } == true)
        #expect(fired { [metric: 2 - 0.03 * Double($0)] }.isEmpty)
        var limits = HealthLimits()
        limits.entropyShare = nil
        #expect(fired(limits, falling).isEmpty)
        limits.entropyFloor = 1
        #expect(fired(limits, falling)["entropy"] == 28)
    }

    @Test func aScoreThatRisesWithLengthOnly() {
        func stream(_ correlation: Double, score: Double, length: Double) -> [String: Int] {
            fired(steps: 12) { step in
                [
                    "rewards/length_correlation": correlation, "objective/scores": score * Double(step),
                    "completions/mean_length": 20 + length * Double(step),
                ]
            }
        }
        #expect(stream(0.97, score: 0.1, length: 2) == ["length": 8])
        #expect(stream(0.8, score: 0.1, length: 2).isEmpty)
        #expect(stream(0.97, score: 0.1, length: -1).isEmpty)
        #expect(stream(0.97, score: 0, length: 2).isEmpty)
    }

    @Test func whatOthersFindJoinsTheList() {
        let monitor = HealthMonitor()
        var state = HealthState()
        monitor.raise("ratio", "the first")
        monitor.raise("ratio", "the second")
        monitor.raise("sign", "another")
        #expect(monitor.check(step: 3, measured: [:], &state).map(\.sentence) == ["the first", "another"])
        monitor.raise("ratio", "the third")
        #expect(monitor.check(step: 4, measured: [:], &state).isEmpty)
        #expect(state.fired.map(\.name) == ["ratio", "sign"] && state.fired.map(\.step) == [3, 3])
        // What an evaluation after the last step finds.
        monitor.raise("sign", "once more")
        monitor.raise("rollout", "the last")
        #expect(monitor.collect(step: 4, &state).map(\.sentence) == ["the last"])
        #expect(monitor.collect(step: 4, &state).isEmpty && state.fired.map(\.name) == ["ratio", "sign", "rollout"])
    }

    /// Adds metrics to a source's steps, each kept for three steps as those of a rollout are.
    private final class Measuring: BatchSource {
        private let batches: PlannedBatches
        private let metrics: (Int) -> [String: Double]

        init(_ batches: PlannedBatches, _ metrics: @escaping (Int) -> [String: Double]) {
            self.batches = batches
            self.metrics = metrics
        }

        func step(_ index: Int) throws -> StepBatches {
            var step = try batches.step(index)
            step.metrics = metrics(index / 3)
            step.isMeasured = index % 3 == 0
            return step
        }
    }

    /// Twelve steps whose rollouts of three measure a KL of 1, 2, 3 and 4.
    private func run(
        _ limits: HealthLimits, from state: TrainingState = TrainingState(), stopAfter: Int = .max
    ) throws -> (outcome: TrainingOutcome, steps: [StepMetrics], saved: [TrainingState], notes: [String]) {
        var run = TinyRun()
        run.options.totalSteps = 12
        // The weights stay: they are not what is looked at.
        run.options.learningRate = 0
        let model = try run.adaptedModel()
        var steps: [StepMetrics] = []
        var (saved, notes): ([TrainingState], [String]) = ([], [])
        let hooks = TrainingHooks(
            didStep: { steps.append($0) }, save: { saved.append($0) }, shouldStop: { steps.count == stopAfter },
            note: { notes.append($0) })
        let loop = TrainingLoop(
            model: model, adapters: ["default"], objective: SFT(model), optimizer: AdamW(),
            batches: Measuring(try run.batches()) { ["objective/kl": Double($0 + 1)] }, options: run.options,
            hooks: hooks, health: HealthMonitor(limits), state: state)
        return (try loop.run(), steps, saved, notes)
    }

    @Test func aRolloutCountsOnce() throws {
        var limits = HealthLimits()
        limits.kl = 1.9
        // Counted by step, the last three would have a mean above the limit from step 5 on; by rollout from the third, step 7.
        let result = try run(limits)
        #expect(result.outcome == .finished && result.steps.count == 12)
        #expect(result.steps.filter { !$0.alarms.isEmpty }.map(\.step) == [7])
        #expect(result.steps[6].json["alarms"]?.array?.compactMap(\.string) == ["kl"])
        #expect(result.steps[5].json["alarms"] == nil)
        #expect(
            result.notes.count == 1 && result.notes[0].hasPrefix("alarm kl at step 7: the KL from the reference is 2 "))
    }

    @Test func anAlarmStopsTheRun() throws {
        var limits = HealthLimits()
        limits.kl = 1.9
        limits.stops = true
        let stopped = try run(limits)
        #expect(stopped.outcome == .alarmed && stopped.steps.count == 7 && stopped.saved.map(\.step) == [7])
        #expect(stopped.saved[0].health.fired.map(\.name) == ["kl"])
        // A run that stopped has nothing to go on with, unless it may.
        #expect(try run(limits, from: stopped.saved[0]).steps.isEmpty)
        limits.stops = false
        let resumed = try run(limits, from: stopped.saved[0])
        #expect(resumed.outcome == .finished && resumed.steps.map(\.step) == Array(8...12) && resumed.notes.isEmpty)
    }

    @Test("the memory of alarms is part of the checkpoint", arguments: [1, 5, 6, 8])
    func resumed(stopAfter: Int) throws {
        var limits = HealthLimits()
        limits.kl = 1.9
        let whole = try run(limits)
        let first = try run(limits, stopAfter: stopAfter)
        let folder = try TemporaryFolder()
        let model = try TinyRun().adaptedModel()
        let optimizer = AdamW()
        optimizer.makeState(for: model.trainableParameters())
        try TrainingCheckpoint.write(
            to: folder.path, state: try #require(first.saved.first), parameters: model.trainableParameters(),
            optimizer: optimizer, identity: [:], keep: 1)
        let state = try #require(TrainingCheckpoint.newest(in: folder.path)).state
        #expect(state == first.saved.first)
        let second = try run(limits, from: state)
        #expect((first.steps + second.steps).map(\.alarms) == whole.steps.map(\.alarms))
        #expect(second.saved.last?.health == whole.saved.last?.health)
    }
}
