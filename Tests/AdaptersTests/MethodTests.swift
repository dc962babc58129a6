import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// What holds for every method on every base storage.
@Suite("Adapter methods") struct MethodTests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8, 11, 3]

    /// A method with its settings, and how a base is stored.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var storage: DType
        var testDescription: String { "\(name) on \(storage)" }

        /// The method's settings; a random start changes the model from the first step.
        func configuration(isRandom: Bool) -> any AdapterConfiguration {
            if name == "ia3" {
                var ia3 = IA3Configuration(target: TargetModules(.only(.list(["q_proj", "v_proj", "down_proj"]))))
                ia3.initializesToOnes = !isRandom
                return ia3
            }
            var lora = LoRAConfiguration()
            (lora.r, lora.loraAlpha) = (4, 6)
            lora.useRSLoRA = name.hasSuffix("rslora")
            lora.useDoRA = name.hasPrefix("dora")
            lora.initialization = isRandom ? .random : .kaiming
            let attention = ["q_proj", "v_proj"]
            switch name {
            case "lora-bias": lora.bias = .all
            case "lora-embedding": lora.target.include = .only(.list(attention + ["embed_tokens", "lm_head"]))
            case "lora-tied":
                lora.target.include = .only(.list(attention + ["embed_tokens"]))
                lora.ensuresWeightTying = true
            case "lora-saved": lora.modulesToSave = ["lm_head", "model.norm", "layers.0.mlp"]
            case "lora-saved-tied": (lora.modulesToSave, lora.ensuresWeightTying) = (["embed_tokens"], true)
            case "lora-tokens": lora.trainableTokens = .embedding([42, 7, 100])
            case "lora-pissa": lora.initialization = .pissa(rounds: nil)
            case "lora-olora": lora.initialization = .olora
            default: break
            }
            return lora
        }

        func model() throws -> CausalLM {
            try ModelRegistry.load(Locations.fixture("models/tiny-qwen2"), weights: storage).model
        }
    }

    static let names = [
        "lora", "dora", "dora-rslora", "ia3", "lora-bias", "lora-embedding", "lora-tied", "lora-saved",
        "lora-saved-tied", "lora-tokens", "lora-pissa", "lora-olora",
    ]

    static let cases = names.flatMap { name in
        [DType.f32, .bf16, .int8, .nf4].map { Case(name: name, storage: $0) }
    }

    @Test("a new adapter changes nothing", arguments: cases)
    func start(_ method: Case) throws {
        let model = try method.model()
        let before = logProbabilities(model, Self.tokens)
        try attach(method.configuration(isRandom: false), to: model, seed: 7)
        let after = logProbabilities(model, Self.tokens, adapters: ["default"])
        // m / ‖W‖ is one within rounding only, and so is what a decomposition adds and takes off.
        let isRounded = method.name.hasPrefix("dora") || ["lora-pissa", "lora-olora"].contains(method.name)
        #expect(isRounded || before == after)
        #expect(distance(after, before, relative: 0, absolute: 2e-5) <= 1)
    }

    @Test("merged it is what it is when on, and comes back from its files", arguments: cases)
    func mergeAndReload(_ method: Case) throws {
        let (model, folder) = (try method.model(), try TemporaryFolder())
        let configuration = method.configuration(isRandom: true)
        try attach(configuration, to: model, seed: 7)
        // A magnitude that is not the norm, which no start gives.
        for (path, parameter) in model.trainableParameters() where path.hasSuffix("magnitude_vector") {
            parameter.value = parameter.value.scaledColumns(
                by: Tensor(
                    (0..<parameter.value.count).map { 0.5 + Float($0 % 7) / 5 }, shape: parameter.value.shape))
        }
        if method.name.hasPrefix("lora-") { shake(model) }
        let on = logProbabilities(model, Self.tokens, adapters: ["default"])
        #expect(distance(on, logProbabilities(model, Self.tokens), relative: 0, absolute: 1e-2) > 1)
        try writeAdapter(configuration, of: model, to: folder.path, record: AdapterRecord(baseModel: "tiny"))
        let again = try method.model()
        try attach(AdapterFolder(folder.path), to: again, isTrainable: false)
        let reloaded = logProbabilities(again, Self.tokens, adapters: ["default"])
        // What is added and what is taken off are one pair of twice the rank after loading.
        let isDecomposition = ["lora-pissa", "lora-olora"].contains(method.name)
        #expect(isDecomposition ? distance(reloaded, on, relative: 0, absolute: 2e-5) <= 1 : reloaded == on)
        // What is frozen is computed once: the second pass has the same bits.
        #expect(logProbabilities(again, Self.tokens, adapters: ["default"]) == reloaded)
        try mergeAdapters(named: ["default"], in: again)
        #expect(distance(logProbabilities(again, Self.tokens), on, relative: 0, absolute: 5e-5) <= 1)
    }

    /// Moves everything that is trained from where it started.
    private func shake(_ model: CausalLM) {
        for (path, parameter) in model.trainableParameters() {
            var generator = RandomGenerator(RandomKey(seed: 3, purpose: path))
            // Pairs of embeddings are drawn with a deviation of one, which is large.
            let factor: Float = path.contains("lora_embedding_") ? 0.2 : 1
            parameter.value = Tensor(
                parameter.value.values.map { factor * $0 + Float(0.05 * generator.normal()) },
                shape: parameter.value.shape)
        }
    }

    @Test("gradients are those of finite differences, and reach the adapter alone", arguments: cases)
    func gradients(_ method: Case) throws {
        let model = try method.model()
        try attach(method.configuration(isRandom: true), to: model, seed: 7)
        if method.name.hasPrefix("lora-") { shake(model) }
        let tape = Tape()
        let context = ForwardContext(
            SequenceLayout([.init(count: Self.tokens.count)]), tape: tape, adapters: ["default"])
        let rows = Array(0..<Int32(Self.tokens.count - 1))
        let result = model.score(
            Self.tokens, rows: rows, targets: Array(Self.tokens.dropFirst()), coefficients: rows.map { _ in -1 },
            context)
        tape.backward(from: try #require(result.loss))
        for (path, parameter) in model.parameters() {
            #expect((parameter.gradient != nil) == parameter.isTrainable, "\(path)")
            // DoRA's norm is a constant to the gradients of A and B, and not to a difference: golden runs hold those.
            guard let gradient = parameter.gradient, !method.name.hasPrefix("dora") || path.hasSuffix("vector")
            else { continue }
            let element = gradient.count / 3
            func loss(_ shift: Float) -> Double {
                let kept = parameter.value
                defer { parameter.value = kept }
                var values = kept.values
                values[element] += shift
                parameter.value = Tensor(values, shape: kept.shape)
                return -logProbabilities(model, Self.tokens, adapters: ["default"]).reduce(0) { $0 + Double($1) }
            }
            let step: Float = 1e-2
            let slope = (8 * (loss(step) - loss(-step)) - (loss(2 * step) - loss(-2 * step))) / Double(12 * step)
            #expect(isClose(Double(gradient.values[element]), slope, relative: 1e-2, absolute: 3e-3), "\(path)")
        }
    }

    @Test(
        "methods stack on a layer in any order, apart and merged",
        arguments: [
            ["lora", "dora", "ia3"], ["ia3", "lora", "dora"], ["dora", "ia3", "lora"], ["ia3", "dora"],
            ["dora", "dora2"],
        ])
    func stacking(order: [String]) throws {
        let model = try Case(name: "", storage: .f32).model()
        for (seed, name) in order.enumerated() {
            let method = Case(name: name.filter(\.isLetter), storage: .f32)
            try attach(method.configuration(isRandom: true), to: model, name: name, seed: UInt64(seed))
        }
        let on = logProbabilities(model, Self.tokens, adapters: order)
        for name in order {
            #expect(on != logProbabilities(model, Self.tokens, adapters: order.filter { $0 != name }))
        }
        try mergeAdapters(named: order, in: model)
        #expect(distance(logProbabilities(model, Self.tokens), on, relative: 0, absolute: 1e-4) <= 1)
    }

    @Test("DoRA with dropout is the base, and the scaled rest on what dropout leaves")
    func dropout() throws {
        var lora = LoRAConfiguration()
        (lora.useDoRA, lora.initialization, lora.loraDropout) = (true, .random, 0.5)
        let model = try tinyModel()
        try attach(lora, to: model, seed: 7)
        let layers = model.modules().compactMap { $0.module as? Linear }
        let layer = try #require(layers.first { $0.adapter("default") != nil })
        let adapter = try #require(layer.adapter("default") as? DoRAAdapter)
        adapter.magnitude.value = adapter.magnitude.value.scaledColumns(
            by: Tensor(repeating: 1.5, shape: adapter.magnitude.value.shape))
        let rows = SequenceLayout([.init(count: 6, row: 3)])
        let x = Tensor((0..<6 * layer.inputSize).map { Float($0 % 13) / 13 - 0.4 }, shape: [6, layer.inputSize])
        let context = ForwardContext(rows, adapters: ["default"], dropout: .init(seed: 1, step: 2))
        let mask = try #require(context.dropoutMask(0.5, module: "model.layers.0.self_attn.q_proj.lora_dropout"))
        let without = ForwardContext(rows)
        let dropped = mask.dropping(x)
        let merged = LinearOperands(weight: adapter.merged(into: layer.weight.value))(dropped)
        let base = LinearOperands(weight: layer.weight.value)(dropped)
        let expected = layer(x, without) + merged + base.scaled(by: -1)
        #expect(distance(layer(x, context).values, expected.values, relative: 1e-5, absolute: 1e-5) <= 1)
    }

    @Test("IA³ takes PEFT's modules for the family, and asks for feed-forward modules among the targets")
    func ia3Modules() throws {
        #expect(
            try IA3Configuration(family: "llama").target.include == .only(.list(["k_proj", "v_proj", "down_proj"])))
        #expect(
            try IA3Configuration(family: "qwen2").target.include == .only(.list(["q_proj", "v_proj", "down_proj"])))
        #expect(throws: InputError.self) { try IA3Configuration(family: "gpt9") }
        let bad = [
            IA3Configuration(target: TargetModules(.only(.list(["q_proj"]))), feedforward: .list(["up_proj"])),
            IA3Configuration(target: TargetModules(), feedforward: .list(["fc2"])),
            IA3Configuration(target: TargetModules(), feedforward: .expression("(")),
            IA3Configuration(target: TargetModules(.only(.list(["lm_head"])))),
        ]
        for configuration in bad {
            #expect(throws: InputError.self) { try attach(configuration, to: tinyModel(), seed: 1) }
        }
        // Every linear layer, written so that PEFT's own check passes.
        let model = try tinyModel()
        let all = IA3Configuration(target: TargetModules(), feedforward: .list(["down_proj", "mlp.up_proj"]))
        try attach(all, to: model, seed: 1)
        let folder = try TemporaryFolder()
        try writeAdapter(all, of: model, to: folder.path, record: AdapterRecord(baseModel: nil))
        let other = try tinyModel()
        try attach(AdapterFolder(folder.path), to: other, isTrainable: false)
        #expect(try tensorBits(other) == tensorBits(model))
    }
}
