import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Training of what is no update of a linear layer: PEFT's curves, and the equalities that hold for every method.
@Suite("Training prompts, prefixes and bottlenecks") struct PromptRunTests {
    @Test("ten steps as PEFT and torch take them", arguments: ["prompt", "prefix", "prefix-projection"])
    func golden(_ name: String) throws {
        let golden = try JSON(contentsOf: Locations.fixture("prompts/run-\(name).json"))
        let rows = (golden["rows"]?.array ?? []).enumerated().map { row, tokens in
            let tokens = (tokens.array ?? []).compactMap { $0.integer.map(Int32.init) }
            return Example(tokens: tokens, isTarget: tokens.map { _ in true }, row: row)
        }
        let model = try TinyRun.model()
        try attach(Self.configuration(name), to: model, seed: 1)
        let start = try SafetensorsFile(Locations.fixture("prompts/run-\(name)-start.safetensors"))
        for (path, parameter) in model.trainableParameters() {
            let key = path.split(separator: ".").dropFirst(2).joined(separator: ".")
            let values = try start.floats(key == "prompt_embeddings" ? "embedding.weight" : key)
            parameter.value = Tensor(values, shape: parameter.value.shape)
        }
        let frozen = bits(of: model.parameters().filter { !$0.parameter.isTrainable })
        var steps: [StepMetrics] = []
        let plan = try BatchPlan(
            lengths: rows.map(\.tokens.count), size: .rows(2), shuffle: false, seed: 0, accumulation: 1)
        let rate = try #require(golden["learning_rate"]?.number)
        let loop = TrainingLoop(
            model: model, adapters: ["default"], objective: SFT(model, predictsFirstToken: name == "prompt"),
            optimizer: AdamW(), batches: PlannedBatches(plan) { rows[$0] },
            options: TrainingOptions(
                totalSteps: 10, learningRate: rate, schedule: Schedule(.constant, warmupSteps: 0, totalSteps: 10)),
            hooks: TrainingHooks(didStep: { steps.append($0) }))
        #expect(try loop.run() == .finished)
        func column(_ key: String) -> [Double] { (golden["steps"]?.array ?? []).compactMap { $0[key]?.number } }
        #expect(isClose(steps.map(\.loss), column("loss"), relative: 1e-5, absolute: 0))
        #expect(isClose(steps.map(\.gradientNorm), column("grad_norm"), relative: 1e-4, absolute: 0))
        #expect(bits(of: model.parameters().filter { !$0.parameter.isTrainable }) == frozen)
        let trained = try SafetensorsFile(Locations.fixture("prompts/run-\(name).safetensors"))
        let tensors = try adapterTensors(of: model)
        #expect(tensors.map(\.name) == ["prompt_embeddings"])
        #expect(try relativeDifference(tensors[0].value.values, trained.floats("prompt_embeddings")) < 2e-4)
    }

    static let methods = ["prompt", "prefix", "prefix-projection", "bottleneck"]

    @Test("recomputed = kept activations, to the bit", arguments: methods, Precision.allCases)
    func recomputation(_ method: String, _ precision: Precision) throws {
        let kept = try result(method, precision)
        for recompute in [Recompute.layer, .attention] {
            #expect(try result(method, precision) { $0.options.recompute = recompute }.isIdentical(to: kept))
        }
    }

    /// In a process of its own, so that no other test takes the threads.
    @Test("1 thread = 3 threads = 4 threads, to the bit", arguments: methods, [false, true])
    func threads(_ method: String, _ inBF16: Bool) async {
        await #expect(processExitsWith: .success) { [method = method as String, inBF16 = inBF16 as Bool] in
            let results = try [1, 4, 3].map { count in
                Device.cpu.threads = count
                return try PromptRunTests().result(method, inBF16 ? .bf16 : .f32) { $0.size = .rows(8) }
            }
            for result in results.dropFirst() { #expect(result.isIdentical(to: results[0])) }
        }
    }

    @Test("packed = alone: log-probabilities to the bit, a step to rounding", arguments: methods, Precision.allCases)
    func packed(_ method: String, _ precision: Precision) throws {
        let model = try TinyRun.model(precision: precision)
        try attach(Self.configuration(method, isRandom: true), to: model, seed: 3)
        let evaluator = Evaluator(model, adapters: ["default"])
        let rows = Array(TinyRun.rows.prefix(9))
        #expect(evaluator.logProbabilities(rows) == rows.flatMap { evaluator.logProbabilities([$0]) })
        guard precision == .f32 else { return }
        func steps(_ tokensPerPass: Int?) throws -> TrainedModel {
            try result(method, .f32) {
                ($0.size, $0.options.totalSteps) = (.rows(8), 2)
                if let tokensPerPass { $0.options.tokensPerPass = tokensPerPass }
            }
        }
        #expect(try steps(1).difference(from: steps(nil)) < 1e-5)
    }

    @Test("resumed = uninterrupted, to the bit", arguments: methods)
    func resumed(_ method: String) throws {
        let (folder, whole) = (try TemporaryFolder(), try result(method, .f32))
        let run = Self.run(.f32)
        func go(stopAfter: Int?) throws -> TrainedModel {
            let checkpoint = TrainingCheckpoint.newest(in: folder.path)
            let model = try TinyRun.model()
            // Another seed for the start: what is not restored shows.
            try attach(Self.configuration(method, isRandom: true), to: model, seed: checkpoint == nil ? 3 : 99)
            let optimizer = run.makeOptimizer()
            try checkpoint?.restore(model.trainableParameters(), optimizer)
            var steps: [StepMetrics] = []
            let hooks = TrainingHooks(
                didStep: { steps.append($0) },
                save: { state in
                    try TrainingCheckpoint.write(
                        to: folder.path, state: state, parameters: model.trainableParameters(), optimizer: optimizer,
                        identity: [:], keep: 2)
                }, shouldStop: { steps.last?.step == stopAfter })
            _ = try run.loop(model, optimizer, hooks: hooks, state: checkpoint?.state ?? TrainingState()).run()
            return TrainedModel(model, optimizer, steps)
        }
        _ = try go(stopAfter: 3)
        #expect(try go(stopAfter: nil).isSameModel(as: whole))
    }

    private static func configuration(_ name: String, isRandom: Bool = false) -> any AdapterConfiguration {
        switch name {
        case "prompt": return PromptTuningConfiguration(virtualTokens: 5)
        case "bottleneck":
            var bottleneck = BottleneckConfiguration()
            bottleneck.startsAtZero = !isRandom
            return bottleneck
        default:
            var prefix = PrefixTuningConfiguration(virtualTokens: 4)
            (prefix.hasProjection, prefix.hiddenSize) = (name == "prefix-projection", 24)
            return prefix
        }
    }

    private static func run(_ precision: Precision) -> TinyRun {
        var run = TinyRun()
        (run.precision, run.rows) = (precision, Array(TinyRun.rows.prefix(16)))
        return run
    }

    private func result(
        _ method: String, _ precision: Precision, _ change: (inout TinyRun) -> Void = { _ in }
    ) throws -> TrainedModel {
        var run = Self.run(precision)
        change(&run)
        let model = try TinyRun.model(precision: precision)
        try attach(Self.configuration(method, isRandom: true), to: model, seed: 3)
        return try run.result(model)
    }

    private func bits(of parameters: [(path: String, parameter: Parameter)]) -> [String: [UInt32]] {
        Dictionary(
            parameters.map { ($0.path, $0.parameter.value.values.map(\.bitPattern)) }, uniquingKeysWith: { $1 })
    }
}
