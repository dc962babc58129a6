import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Reward models as transformers, PEFT and TRL have them: `Tests/Fixtures/rewards`.
@Suite("Reward models agree with their peers") struct RewardModelTests {
    /// A tiny base as a classifier, its score head drawn under a seed.
    static func classifier(_ base: String = "tiny-llama", precision: Precision = .f32) throws -> CausalLM {
        try ModelRegistry.load(
            Locations.fixture("models/\(base)"), weights: precision.activations, precision: precision,
            task: .sequenceClassification(seed: 7)
        ).model
    }

    static func golden(_ name: String) throws -> JSON {
        try JSON(contentsOf: Locations.fixture("rewards/\(name).json"))
    }

    /// Pairs as TRL prepared them; what both answers begin with is their prompt.
    static func pairs(_ golden: JSON) throws -> [Example] {
        try #require(golden["prepared"]?.array).enumerated().map { number, row in
            let answers = (row["answers"]?.array ?? []).map {
                ($0.array ?? []).compactMap { $0.integer.map(Int32.init) }
            }
            let shared = zip(answers[0], answers[1]).prefix { $0 == $1 }.count
            let boundary = min(shared, answers[0].count - 1, answers[1].count - 1)
            var example = Example(
                prompt: Array(answers[0][..<boundary]), answers: answers.map { Array($0[boundary...]) }, row: number)
            example.judgement.margin = row["margin"]?.number.map { Float($0) }
            return example
        }
    }

    /// The rewards of whole sequences.
    private func rewards(_ model: CausalLM, adapters: [String], _ golden: JSON) throws -> [Double] {
        try #require(golden["sequences"]?.array).map { sequence in
            let tokens = (sequence.array ?? []).compactMap { $0.integer.map(Int32.init) }
            let context = ForwardContext(SequenceLayout([.init(count: tokens.count)]), adapters: adapters)
            return Double(model.rewards(tokens, rows: [Int32(tokens.count - 1)], context).scalar)
        }
    }

    @Test("a plain folder that transformers wrote")
    func plainFolder() throws {
        let golden = try Self.golden("golden")
        let expected = try #require(golden["folders"]?["classifier"]?.array).compactMap(\.number)
        let loaded = try ModelRegistry.load(
            Locations.fixture("rewards/classifier"), task: .sequenceClassification(seed: nil))
        #expect(!loaded.hasFreshHead && loaded.model.isSequenceClassifier)
        #expect(isClose(try rewards(loaded.model, adapters: [], golden), expected, relative: 1e-5, absolute: 1e-5))
    }

    @Test("folders that PEFT wrote, on and merged", arguments: ["tiny-llama", "tiny-qwen2"], ["lora", "dora"])
    func adapters(_ base: String, _ variant: String) throws {
        let golden = try Self.golden("golden")
        let expected = try #require(golden["adapters"]?["\(base)-\(variant)"]?["rewards"]?.array).compactMap(\.number)
        let model = try Self.classifier(base)
        let folder = try AdapterFolder(Locations.fixture("rewards/\(base)-\(variant)"))
        #expect(folder.isReward)
        try attach(folder, to: model, isTrainable: false)
        #expect(isClose(try rewards(model, adapters: ["default"], golden), expected, relative: 1e-5, absolute: 1e-5))
        try mergeAdapters(named: ["default"], in: model)
        #expect(isClose(try rewards(model, adapters: [], golden), expected, relative: 2e-5, absolute: 2e-5))
    }

    @Test(
        "a language model with a place for a reward adapter gives the same rewards, and stays the language model it was"
    )
    func besideALanguageModel() throws {
        let golden = try Self.golden("golden")
        let expected = try #require(golden["adapters"]?["tiny-llama-lora"]?["rewards"]?.array).compactMap(\.number)
        let model = try TinyRun.model()
        let before = Evaluator(model, adapters: []).logProbabilities([TinyRun.rows[0]])
        model.addScoreHead()
        try attach(
            AdapterFolder(Locations.fixture("rewards/tiny-llama-lora")), to: model, name: "reward", isTrainable: false)
        #expect(isClose(try rewards(model, adapters: ["reward"], golden), expected, relative: 1e-5, absolute: 1e-5))
        #expect(Evaluator(model, adapters: []).logProbabilities([TinyRun.rows[0]]) == before)
        #expect(model.trainableParameters().isEmpty)
    }

    @Test("a fresh head is drawn as transformers draws it, the same under the same seed")
    func freshHead() throws {
        let head = try #require(try Self.classifier().scoreHead).weight.value.values
        let again = try #require(try Self.classifier().scoreHead).weight.value.values
        let mean = head.reduce(0, +) / Float(head.count)
        let deviation = (head.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(head.count)).squareRoot()
        #expect(head == again && abs(mean) < 0.01 && abs(deviation - 0.02) < 0.006)
        let other = try ModelRegistry.load(
            Locations.fixture("models/tiny-llama"), task: .sequenceClassification(seed: 8)
        ).model
        #expect(other.scoreHead?.weight.value.values != head)
        #expect(throws: InputError.self) {
            try ModelRegistry.load(Locations.fixture("models/tiny-llama"), task: .sequenceClassification(seed: nil))
        }
    }

    @Test(
        "losses, gradient norms, rewards, accuracies and margins of training, as TRL has them",
        arguments: ["pairs", "plain", "margins", "centered", "accumulated", "short"])
    func tinyRun(_ name: String) throws {
        let golden = try Self.golden("tiny-\(name)")
        try check(Self.classifier(), "tiny-llama-lora", golden)
        // TRL removes what is longer than it may be.
        #expect((try Self.pairs(golden).count == 24) == (name != "short"))
    }

    @Test(
        "on the real model",
        .enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"))
    func realRun() throws {
        let model = try ModelRegistry.load(#require(Locations.model), task: .sequenceClassification(seed: 0)).model
        try check(model, "smollm2-start", Self.golden("smollm2"))
    }

    private func check(_ model: CausalLM, _ start: String, _ golden: JSON) throws {
        try attach(AdapterFolder(Locations.fixture("rewards/\(start)")), to: model, isTrainable: true)
        let settings = try #require(golden["settings"])
        let logged = try #require(golden["steps"]?.array)
        var loss = RewardLoss()
        loss.centering = settings["center_rewards_coefficient"]?.number ?? 0
        let accumulation = settings["gradient_accumulation_steps"]?.integer ?? 0
        let run = RewardRun(
            pairs: try Self.pairs(golden), loss: loss, size: settings["per_device_train_batch_size"]?.integer ?? 0,
            accumulation: accumulation, steps: logged.count,
            learningRate: try #require(settings["learning_rate"]?.number), optimizer: AdamW(),
            maxGradientNorm: settings["max_grad_norm"]?.number)
        let steps = try run(model)
        #expect(steps.count == logged.count && !steps.isEmpty)
        for (step, expected) in zip(steps, logged) {
            func close(_ actual: Double?, _ name: String, relative: Double, absolute: Double) throws {
                let (actual, value) = (try #require(actual), try #require(expected[name]?.number))
                #expect(isClose(actual, value, relative: relative, absolute: absolute), "\(name) of step \(step.step)")
            }
            try close(step.loss, "loss", relative: 2e-5, absolute: 1e-6)
            try close(step.gradientNorm, "grad_norm", relative: 2e-4, absolute: 0)
            for name in ["accuracy", "margin", "mean_reward", "min_reward", "max_reward"] {
                // Of several micro-batches TRL takes the mean of their smallest and largest rewards.
                if accumulation > 1, name.hasPrefix("min") || name.hasPrefix("max") { continue }
                try close(step.objective[name], name, relative: 2e-5, absolute: 1e-5)
            }
        }
    }
}

/// Steps of reward modelling in order.
struct RewardRun {
    var pairs: [Example]
    var loss = RewardLoss()
    var size = 2
    var accumulation = 1
    var steps = 3
    var learningRate = 1e-2
    var optimizer: any Optimizer = SGD(momentum: 0.9)
    var maxGradientNorm: Double?
    var tokensPerPass = Int.max

    func callAsFunction(_ model: CausalLM, adapters: [String] = ["default"]) throws -> [StepMetrics] {
        let plan = try BatchPlan(
            lengths: pairs.map(\.tokens.count), size: .rows(size), shuffle: false, seed: 0, accumulation: accumulation)
        var metrics: [StepMetrics] = []
        let loop = TrainingLoop(
            model: model, adapters: adapters, objective: RewardObjective(model, loss: loss), optimizer: optimizer,
            batches: PlannedBatches(plan) { pairs[$0] },
            options: TrainingOptions(
                totalSteps: steps, learningRate: learningRate,
                schedule: Schedule(.constant, warmupSteps: 0, totalSteps: steps), maxGradientNorm: maxGradientNorm,
                tokensPerPass: tokensPerPass), hooks: TrainingHooks(didStep: { metrics.append($0) }))
        #expect(try loop.run() == .finished)
        return metrics
    }
}
