import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// What holds for every method on every base storage.
///
/// The cases come from the registry. A method's settings are those in the fixtures for tiny-qwen2, one case for each set of switches
/// there; a method that has none there has its defaults. So a new method is in this suite without a line here.
@Suite("Adapter methods") struct MethodTests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8, 11, 3]

    /// A method's settings, and how a base is stored.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var settings: JSON
        var storage: DType
        /// What is not quantised.
        var skipped = SkippedModules.standard
        var testDescription: String {
            "\(name) on \(storage)" + (skipped == .standard ? "" : ", head and embedding too")
        }

        func configuration() throws -> any AdapterConfiguration {
            let folder = try TemporaryFolder()
            try folder.write(settings.text(), to: "adapter_config.json")
            try SafetensorsWriter.write([], to: folder.file("adapter_model.safetensors"))
            return try AdapterFolder(folder.path).configuration
        }

        func model(_ storage: DType? = nil) throws -> CausalLM {
            try ModelRegistry.load(
                Locations.fixture("models/tiny-qwen2"), weights: storage ?? self.storage, skipping: skipped
            ).model
        }

        /// A model with a new adapter, each of whose numbers is moved off its start: most methods start as nothing.
        func trainedModel() throws -> CausalLM {
            let model = try model()
            try attach(configuration(), to: model, seed: 7)
            moveParameters(of: model)
            return model
        }

        /// Whether it stands before the model's own tokens: no start of it changes nothing.
        var isPrompt: Bool { settings["num_virtual_tokens"] != nil }
        /// Whether its pairs begin as parts of the weights.
        var isDecomposition: Bool { settings["init_lora_weights"]?.string != nil }
        /// Whether a norm of the weights is a constant to its gradients, and not to a difference.
        var detachesNorm: Bool { settings["use_dora"] == true }
    }

    static let methods: [(name: String, settings: JSON)] = {
        var seen: Set<[String]> = []
        let files = Locations.files(under: "Tests/Fixtures", ending: "/adapter_config.json").filter {
            $0.contains("/tiny-qwen2/") && !$0.contains("/mlx/")
        }
        let found = files.compactMap { file -> (name: String, settings: JSON)? in
            guard let settings = try? JSON(contentsOf: Locations.inRepository(file)),
                seen.insert(switches(settings)).inserted
            else { return nil }
            return (file.split(separator: "/").dropLast().last.map(String.init) ?? file, settings)
        }
        let others = AdapterRegistry.methods.filter { method in
            !found.contains { $0.settings["peft_type"]?.string == method.peftType }
        }
        return found + others.map { ($0.type, ["peft_type": .string($0.peftType)]) }
    }()

    /// What settings turn on, whatever they adapt and how large it is.
    private static func switches(_ settings: JSON) -> [String] {
        let places: Set<String> = [
            "target_modules", "exclude_modules", "feedforward_modules", "layers_to_transform", "layers_pattern",
            "rank_pattern", "alpha_pattern", "base_model_name_or_path", "peft_version", "prompt_tuning_init_text",
            "prompt_tuning_init", "tokenizer_name_or_path",
        ]
        let tables: Set<JSON> = ["embed_tokens", "lm_head", "model.embed_tokens"]
        let on = (settings.object ?? [:]).compactMap { key, value -> String? in
            if key == "target_modules" {
                let named = tables.intersection(value.array ?? []).compactMap(\.string).sorted()
                return named.isEmpty ? nil : named.joined(separator: ", ")
            }
            switch value {
            case .bool(true): return key
            case .string(let text): return places.contains(key) ? nil : "\(key): \(text)"
            case .array, .object: return places.contains(key) || value == [] || value == [:] ? nil : key
            default: return nil
            }
        }
        return on.sorted()
    }

    static let cases = methods.flatMap { name, settings in
        [DType.f32, .bf16, .int8, .nf4].map { Case(name: name, settings: settings, storage: $0) }
            + [Case(name: name, settings: settings, storage: .int8, skipped: SkippedModules([]))]
    }

    @Test("no method is missing here")
    func everyMethod() {
        let tested = Set(Self.methods.compactMap { $0.settings["peft_type"]?.string })
        #expect(tested == Set(AdapterRegistry.methods.map { $0.peftType }))
        #expect(Self.methods.count { $0.settings["use_dora"] == true } >= 2)
        #expect(Self.methods.contains { $0.settings["use_rslora"] == true && $0.settings["use_dora"] == false })
    }

    @Test("a new adapter changes nothing", arguments: cases)
    func start(_ method: Case) throws {
        let model = try method.model()
        let before = logProbabilities(model, Self.tokens)
        try attach(method.configuration(), to: model, seed: 7)
        #expect(logProbabilities(model, Self.tokens) == before)
        guard !method.isPrompt else { return }
        let after = logProbabilities(model, Self.tokens, adapters: ["default"])
        // m / ‖W‖ is one within rounding only, as is a decomposition beside what it began as; what is no change of weights may add up
        // in another order.
        let isExact =
            try !method.detachesNorm && !method.isDecomposition
            && type(of: method.configuration()).mergeRefusal == nil
        #expect(!isExact || before == after)
        #expect(distance(after, before, relative: 0, absolute: 2e-5) <= 1)
    }

    @Test("what is written comes back, and the seed decides what is new", arguments: cases)
    func reload(_ method: Case) throws {
        let (model, folder) = (try method.trainedModel(), try TemporaryFolder())
        let on = logProbabilities(model, Self.tokens, adapters: ["default"])
        #expect(distance(on, logProbabilities(model, Self.tokens), relative: 0, absolute: 1e-2) > 1)
        let record = AdapterRecord(baseModel: "tiny")
        try writeAdapter(method.configuration(), of: model, to: folder.path, record: record)
        let again = try method.model()
        try attach(AdapterFolder(folder.path), to: again, isTrainable: false)
        #expect(try tensorBits(again) == tensorBits(model))
        let reloaded = logProbabilities(again, Self.tokens, adapters: ["default"])
        // What is added and what is taken off are one pair of twice the rank after loading.
        #expect(method.isDecomposition ? distance(reloaded, on, relative: 0, absolute: 2e-5) <= 1 : reloaded == on)
        // What is frozen is computed once: the second pass has the same bits.
        #expect(logProbabilities(again, Self.tokens, adapters: ["default"]) == reloaded)
        #expect(try tensorBits(method.trainedModel()) == tensorBits(model))
    }

    @Test(
        "a tensor that is missing, left over or of another shape is an error, and the model stays as it was",
        arguments: cases.filter { $0.storage == .f32 })
    func damaged(_ method: Case) throws {
        let (source, folder) = (try method.trainedModel(), try TemporaryFolder())
        let record = AdapterRecord(baseModel: "tiny")
        try writeAdapter(method.configuration(), of: source, to: folder.path, record: record)
        let file = folder.file("adapter_model.safetensors")
        let whole = try SafetensorsFile(file)
        let tensors = try whole.names.map { ($0, try whole.entry($0).shape, try whole.floats($0)) }
        let model = try method.model()
        for fault in 0..<3 {
            var damaged = tensors
            switch fault {
            case 0: damaged.removeLast()
            case 1: damaged.append(("base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight", [1], [1]))
            default: damaged[0].1.insert(1, at: 0)
            }
            try SafetensorsWriter.write(damaged.map { SafetensorsTensor($0.0, shape: $0.1, $0.2) }, to: file)
            #expect(throws: InputError.self, "fault \(fault)") {
                try attach(AdapterFolder(folder.path), to: model, isTrainable: false)
            }
        }
        #expect(throws: InputError.self) { try adapterTensors(of: model) }
    }

    @Test("merged it is what it is when on; what cannot be merged is refused and left as it was", arguments: cases)
    func merge(_ method: Case) throws {
        let model = try method.trainedModel()
        let on = logProbabilities(model, Self.tokens, adapters: ["default"])
        guard type(of: try method.configuration()).mergeRefusal == nil else {
            #expect(throws: InputError.self) { try mergeAdapters(named: ["default"], in: model) }
            #expect(logProbabilities(model, Self.tokens, adapters: ["default"]) == on)
            return
        }
        try mergeAdapters(named: ["default"], in: model)
        #expect(distance(logProbabilities(model, Self.tokens), on, relative: 0, absolute: 5e-5) <= 1)
    }

    @Test("gradients are those of finite differences, and reach the adapter alone", arguments: cases)
    func gradients(_ method: Case) throws {
        let model = try method.trainedModel()
        _ = try backward(model)
        var seen: Set<Substring> = []
        for (path, parameter) in model.parameters() {
            #expect((parameter.gradient != nil) == parameter.isTrainable, "\(path)")
            // One of each kind of tensor on each kind of module: `q_proj.lora_A.weight`. Golden runs hold what a detached norm leaves out.
            guard let gradient = parameter.gradient, !method.detachesNorm || path.hasSuffix("vector"),
                seen.insert(path.suffix(24)).inserted
            else { continue }
            expectSlope(of: parameter, gradient, path) {
                -logProbabilities(model, Self.tokens, adapters: ["default"]).reduce(0) { $0 + Double($1) }
            }
        }
    }

    @Test(
        "steps on a stored base are those on the numbers that come back, to the bit, and leave it as it was",
        arguments: cases)
    func frozen(_ method: Case) throws {
        let (model, plain) = (try method.trainedModel(), try method.model(.f32))
        let stored = frozenBits(model)
        for (path, parameter) in plain.parameters() {
            parameter.value = try #require(model.parameters().first { $0.path == path }).parameter.value.converted(
                to: .f32)
        }
        try attach(method.configuration(), to: plain, seed: 7)
        for (path, parameter) in model.trainableParameters() {
            let twin = try #require(plain.parameters().first { $0.path == path }).parameter
            twin.value = Tensor(parameter.value.values, shape: parameter.value.shape)
        }
        let losses = try (0..<3).map { _ in
            let losses = (try step(model), try step(plain))
            #expect(losses.0 == losses.1)
            return losses.0
        }
        #expect(losses[2] < losses[0])
        #expect(try tensorBits(model) == tensorBits(plain))
        #expect(frozenBits(model) == stored)
    }

    /// Loss and gradients of the tokens with the adapter on.
    private func backward(_ model: CausalLM) throws -> Float {
        let tape = Tape()
        let context = ForwardContext(
            SequenceLayout([.init(count: Self.tokens.count)]), tape: tape, adapters: ["default"])
        let rows = Array(0..<Int32(Self.tokens.count - 1))
        let result = model.score(
            Self.tokens, rows: rows, targets: Array(Self.tokens.dropFirst()), coefficients: rows.map { _ in -1 },
            context)
        let loss = try #require(result.loss)
        tape.backward(from: loss)
        return loss.values[0]
    }

    /// A step down the gradient; returns the loss before it.
    private func step(_ model: CausalLM) throws -> Float {
        let loss = try backward(model)
        for (_, parameter) in model.trainableParameters() {
            sgdStep(
                parameter.value, gradient: try #require(parameter.gradient), momentumBuffer: nil, learningRate: 1e-4,
                momentum: 0, weightDecay: 0, gradientScale: 1, isFirst: true)
            parameter.gradient = nil
        }
        return loss
    }

    private func frozenBits(_ model: CausalLM) -> [String: [UInt32]] {
        let frozen = model.parameters().filter { !$0.parameter.isTrainable }
        return Dictionary(
            frozen.map { ($0.path, $0.parameter.value.converted(to: .f32).values.map(\.bitPattern)) },
            uniquingKeysWith: { $1 })
    }
}

/// Moves every trained number off its start, the same way each time.
private func moveParameters(of model: CausalLM) {
    for (path, parameter) in model.trainableParameters() {
        var generator = RandomGenerator(RandomKey(seed: 3, purpose: path))
        // Pairs of embeddings are drawn with a deviation of one, which is large.
        let factor: Float = path.contains("lora_embedding_") ? 0.2 : 1
        let moved = parameter.value.values.map { factor * $0 + Float(0.05 * generator.normal()) }
        parameter.value = Tensor(moved, shape: parameter.value.shape)
    }
}
