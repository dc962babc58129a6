import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// The rows of a golden run as TRL prepared them.
func preferenceRows(_ golden: JSON) throws -> [Example] {
    func tokens(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.integer.map(Int32.init) } }
    return try #require(golden["prepared"]?.array).enumerated().map { number, row in
        let prompt = tokens(row["prompt"])
        var example = Example(tokens: prompt, isTarget: [Bool](repeating: false, count: prompt.count), row: number)
        for answer in (row["answers"]?.array ?? []).map(tokens) {
            example.answers.append(example.tokens.count)
            example.tokens += answer
            example.isTarget += answer.map { _ in true }
        }
        example.judgement.label = row["label"]?.integer.map { $0 == 1 }
        return example
    }
}

/// Steps as TRL's `DPOTrainer`, `KTOTrainer`, `CPOTrainer` and `ORPOTrainer` take them: `Tests/Fixtures/preferences`.
@Suite("Preference learning agrees with TRL") struct PreferenceRunTests {
    static let tiny = Locations.files(under: "Tests/Fixtures/preferences", ending: ".json").compactMap { path in
        path.split(separator: "/").last.flatMap { $0.hasPrefix("tiny-") ? String($0.dropLast(5)) : nil }
    }

    @Test("every run has its golden values")
    func allRuns() { #expect(Self.tiny.count == 12) }

    @Test("losses, gradient norms, rewards and log-probabilities", arguments: tiny)
    func tinyRun(_ name: String) throws {
        let start = try AdapterFolder(Locations.fixture("training/tiny-start"))
        try check(TinyRun.model(), start, name, steps: 6)
    }

    @Test(
        "on the real model",
        .enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"))
    func realRun() throws {
        let start = try AdapterFolder(Locations.fixture("adapters/smollm2-start"))
        try check(ModelRegistry.load(#require(Locations.model)).model, start, "smollm2-dpo", steps: 4)
    }

    private func check(_ model: CausalLM, _ start: AdapterFolder, _ name: String, steps count: Int) throws {
        let golden = try JSON(contentsOf: Locations.fixture("preferences/\(name).json"))
        let settings = try #require(golden["settings"])
        // The reference first: attaching an adapter freezes all that is there.
        try attach(start, to: model, name: "start", isTrainable: false)
        try attach(start, to: model, isTrainable: true)
        let reference = ReferenceModel.model(model, adapters: golden["reference"]?.string == "base" ? [] : ["start"])
        let rows = try preferenceRows(golden)
        let plan = try BatchPlan(
            lengths: rows.map(\.tokens.count), size: .rows(settings["per_device_train_batch_size"]?.integer ?? 0),
            shuffle: false, seed: 0, accumulation: settings["gradient_accumulation_steps"]?.integer ?? 0)
        let options = TrainingOptions(
            totalSteps: count, learningRate: try #require(settings["learning_rate"]?.number),
            schedule: Schedule(.constant, warmupSteps: 0, totalSteps: count),
            maxGradientNorm: try #require(settings["max_grad_norm"]?.number))
        var steps: [StepMetrics] = []
        let loop = TrainingLoop(
            model: model, adapters: ["default"],
            objective: try objective(golden, settings, model, reference), optimizer: AdamW(),
            batches: PlannedBatches(plan) { rows[$0] }, options: options,
            hooks: TrainingHooks(didStep: { steps.append($0) }))
        #expect(try loop.run() == .finished)
        try compare(steps, golden)
    }

    private func objective(
        _ golden: JSON, _ settings: JSON, _ model: CausalLM, _ reference: ReferenceModel
    ) throws -> any Objective {
        switch golden["type"]?.string {
        case "dpo":
            var loss = PairLoss()
            let weights = settings["loss_weights"]?.array?.compactMap(\.number)
            if let types = settings["loss_type"]?.array {
                loss.terms = try types.enumerated().map {
                    (try #require(PairLossType(rawValue: $1.string ?? "")), weights?[$0] ?? 1)
                }
            }
            loss.ldAlpha = settings["ld_alpha"]?.number
            loss.usesWeighting = settings["use_weighting"]?.bool ?? false
            return DPO(model, reference: reference, loss: loss)
        case "kto": return KTO(model, reference: reference, maxLength: settings["max_length"]?.integer ?? 0)
        case "cpo":
            var loss = ContrastiveLoss()
            loss.type = ContrastiveLossType(rawValue: settings["loss_type"]?.string ?? "") ?? .sigmoid
            loss.beta = settings["beta"]?.number ?? 0.1
            loss.likelihoodWeight = settings["cpo_alpha"]?.number ?? 1
            return CPO(model, loss: loss)
        default: return ORPO(model)
        }
    }

    private func compare(_ steps: [StepMetrics], _ golden: JSON) throws {
        let logged = try #require(golden["steps"]?.array)
        #expect(steps.count == logged.count && !steps.isEmpty)
        let isAccumulated = golden["settings"]?["gradient_accumulation_steps"]?.integer != 1
        // The experimental trainers take the mean of the logits over prompts and padding too.
        let withoutLogits = ["cpo", "orpo"].contains(golden["type"]?.string)
        for (step, expected) in zip(steps, logged) {
            func close(_ actual: Double, _ name: String, relative: Double, absolute: Double) {
                guard let value = expected[name]?.number else { return }
                #expect(
                    isClose(actual, value, relative: relative, absolute: absolute), "\(name) of step \(step.step)")
            }
            close(step.loss, "loss", relative: 2e-5, absolute: 1e-6)
            close(step.gradientNorm, "grad_norm", relative: 2e-4, absolute: 0)
            close(step.epoch, "epoch", relative: 1e-12, absolute: 0)
            for (name, value) in step.objective {
                // Of several micro-batches TRL takes the mean of their means.
                if isAccumulated, ["entropy", "mean_token_accuracy", "logits/chosen", "logits/rejected"].contains(name)
                {
                    continue
                }
                if withoutLogits, name.hasPrefix("logits/") { continue }
                // Without a weight TRL does not compute it.
                if golden["settings"]?["cpo_alpha"]?.number == 0, name == "nll_loss" { continue }
                // Rewards are differences of sums of some hundred logarithms.
                close(value, name, relative: 1e-3, absolute: name.hasPrefix("rewards/") ? 2e-5 : 1e-5)
            }
            for name in expected.object?.keys ?? [] where name.hasPrefix("rewards/") || name.hasPrefix("logps/") {
                #expect(step.objective[name] != nil, "\(name)")
            }
        }
    }
}
