import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Twelve optimizer steps as TRL's `SFTTrainer` takes them: `Tests/Fixtures/training`.
@Suite("Training agrees with TRL") struct GoldenRunTests {
    static let tiny = Locations.files(under: "Tests/Fixtures/training", ending: ".json").compactMap { path in
        path.split(separator: "/").last.flatMap { name -> String? in
            name.hasPrefix("tiny-") && path.split(separator: "/").count == 4 ? String(name.dropLast(5)) : nil
        }
    }

    @Test("every run has its golden values")
    func allRuns() { #expect(Self.tiny.count == 20) }

    @Test("losses, gradient norms, rates and the trained adapter", arguments: tiny)
    func tinyRun(_ name: String) throws {
        let model = try TinyRun.model()
        try makeTrainable(model, for: name)
        let frozen = frozenBits(model)
        try check(model, golden: name)
        #expect(frozenBits(model) == frozen)
        // The signs of singular vectors are chance.
        guard !["tiny-pissa", "tiny-olora", "tiny-dora-pissa"].contains(name) else { return }
        let trained = try SafetensorsFile(Locations.fixture("training/\(name).safetensors"))
        let prefix = name == "tiny-partly" ? "" : "base_model.model."
        let tensors = model.trainableParameters().map {
            (name: prefix + $0.path.replacing(".default", with: ""), value: $0.parameter.value)
        }
        #expect(Set(tensors.map(\.name)) == Set(trained.names.filter { !$0.hasSuffix("base_layer.weight") }))
        for (name, value) in tensors {
            #expect(try relativeDifference(value.values, trained.floats(name)) < 2e-4, "\(name)")
        }
    }

    /// The adapter that a run starts from, or what it trains of the model itself.
    private func makeTrainable(_ model: CausalLM, for name: String) throws {
        let settings = try JSON(contentsOf: Locations.fixture("training/\(name).json"))["settings"]
        if let patterns = settings?["trainable"]?.array?.compactMap(\.string) {
            try TrainableParameters(patterns: patterns).apply(to: model, layers: model.configuration.layers)
            return
        }
        // Runs named after the adapter that they start from.
        let named = ["dora-embedding", "ia3-saved"]
        let start = [
            "tiny-dora": "adapters/tiny-llama/dora", "tiny-ia3": "adapters/tiny-llama/ia3",
            "tiny-loraplus": "adapters/tiny-llama/dora", "tiny-embedding": "adapters/tiny-llama/embedding",
            "tiny-saved": "adapters/tiny-llama/saved-head", "tiny-tokens": "adapters/tiny-llama/tokens",
        ]
        if let method = ["tiny-pissa": "pissa", "tiny-dora-pissa": "pissa", "tiny-olora": "olora"][name] {
            var lora = LoRAConfiguration()
            (lora.r, lora.loraAlpha, lora.useDoRA) = (4, 6, name.contains("dora"))
            lora.initialization = try #require(.init(method))
            try attach(lora, to: model, seed: 1)
            return
        }
        let own = named.first { name == "tiny-\($0)" }.map { "adapters/tiny-llama/\($0)" }
        let folder = try AdapterFolder(Locations.fixture(own ?? start[name] ?? "training/tiny-start"))
        try attach(folder, to: model, isTrainable: true)
    }

    @Test(
        "on the real model",
        .enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"),
        arguments: ["smollm2-all", "smollm2-assistant"])
    func realRun(_ name: String) throws {
        let model = try ModelRegistry.load(#require(Locations.model)).model
        try attach(AdapterFolder(Locations.fixture("adapters/smollm2-start")), to: model, isTrainable: true)
        try check(model, golden: name)
    }

    private func check(_ model: CausalLM, golden name: String) throws {
        let golden = try JSON(contentsOf: Locations.fixture("training/\(name).json"))
        let settings = try #require(golden["settings"])
        let rows = TinyRun.prepared(golden)
        let options = try options(settings)
        let plan = try BatchPlan(
            lengths: rows.map(\.tokens.count), size: .rows(settings["per_device_train_batch_size"]?.integer ?? 0),
            shuffle: false, seed: 0, accumulation: settings["gradient_accumulation_steps"]?.integer ?? 0)
        var steps: [StepMetrics] = []
        let loop = TrainingLoop(
            model: model, adapters: ["default"], objective: SFT(model),
            optimizer: AdamW(
                weightDecay: settings["weight_decay"]?.number ?? 0,
                rates: ParameterRates(loraPlus: loraPlus(settings))),
            batches: PlannedBatches(plan) { rows[$0] }, options: options,
            hooks: TrainingHooks(didStep: { steps.append($0) }))
        #expect(try loop.run() == .finished)
        func column(_ key: String) -> [Double] { (golden["steps"]?.array ?? []).compactMap { $0[key]?.number } }
        #expect(steps.count == 12)
        #expect(isClose(steps.map(\.loss), column("loss"), relative: 1e-5, absolute: 0))
        #expect(isClose(steps.map(\.gradientNorm), column("grad_norm"), relative: 1e-4, absolute: 0))
        #expect(isClose(steps.map(\.learningRate), column("learning_rate"), relative: 1e-12, absolute: 1e-18))
        #expect(isClose(steps.map(\.epoch), column("epoch"), relative: 1e-12, absolute: 0))
    }

    private func loraPlus(_ settings: JSON) -> LoRAPlus? {
        guard let ratio = settings["loraplus_lr_ratio"]?.number, let rate = settings["learning_rate"]?.number,
            let embedding = settings["loraplus_lr_embedding"]?.number
        else { return nil }
        return LoRAPlus(ratio: ratio, embeddingShare: embedding / rate)
    }

    /// The bits of every weight that training leaves alone.
    private func frozenBits(_ model: CausalLM) -> [String: [UInt32]] {
        let frozen = model.parameters().filter { !$0.parameter.isTrainable }
        return Dictionary(
            frozen.map { ($0.path, $0.parameter.value.values.map(\.bitPattern)) }, uniquingKeysWith: { $1 })
    }

    private func options(_ settings: JSON) throws -> TrainingOptions {
        let total = try #require(settings["max_steps"]?.integer)
        let shapes: [String: Schedule.Shape] = [
            "constant": .constant, "constant_with_warmup": .constant, "linear": .linear, "cosine": .cosine(minimum: 0),
        ]
        let shape = try #require(shapes[settings["lr_scheduler_type"]?.string ?? ""])
        let warmup = Schedule.steps(settings["warmup_steps"]?.number ?? 0, of: total)
        return TrainingOptions(
            totalSteps: total, learningRate: try #require(settings["learning_rate"]?.number),
            schedule: Schedule(shape, warmupSteps: warmup, totalSteps: total),
            maxGradientNorm: try #require(settings["max_grad_norm"]?.number))
    }
}
