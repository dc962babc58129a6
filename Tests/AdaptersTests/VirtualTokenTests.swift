import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// What holds for prompts, prefixes and bottlenecks beside PEFT's numbers.
@Suite("Virtual tokens and bottlenecks") struct VirtualTokenTests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8, 11, 3]

    /// A method with its settings.
    enum Method: String, CaseIterable, Sendable {
        case prompt, vocabulary, prefix, projection, houlsby, pfeiffer

        func configuration(isRandom: Bool = true) -> any AdapterConfiguration {
            var prompt = PromptTuningConfiguration(virtualTokens: 3)
            var prefix = PrefixTuningConfiguration(virtualTokens: 3)
            prefix.startsAtZero = !isRandom
            var bottleneck = BottleneckConfiguration()
            (bottleneck.reductionFactor, bottleneck.startsAtZero) = (8, !isRandom)
            switch self {
            case .prompt: return prompt
            case .vocabulary:
                prompt.initialization = .sampledVocabulary
                return prompt
            case .prefix: return prefix
            case .projection:
                (prefix.hasProjection, prefix.hiddenSize) = (true, 12)
                return prefix
            case .houlsby:
                bottleneck.nonlinearity = .gelu
                return bottleneck
            case .pfeiffer:
                (bottleneck.placement, bottleneck.nonlinearity) = (.pfeiffer, .tanh)
                return bottleneck
            }
        }

        var isBottleneck: Bool { self == .houlsby || self == .pfeiffer }
    }

    @Test("a bottleneck starts as nothing", arguments: [Method.houlsby, .pfeiffer], [DType.f32, .bf16, .int8, .nf4])
    func start(_ method: Method, _ storage: DType) throws {
        let model = try ModelRegistry.load(Locations.fixture("models/tiny-qwen2"), weights: storage).model
        let before = logProbabilities(model, Self.tokens)
        try attach(method.configuration(isRandom: false), to: model, seed: 7)
        let after = logProbabilities(model, Self.tokens, adapters: ["default"])
        // The residual stream is added in another place, which rounds otherwise.
        #expect(distance(after, before, relative: 0, absolute: 1e-5) <= 1)
        #expect(logProbabilities(model, Self.tokens) == before)
    }

    @Test(
        "comes back from its files on any base, and changes the model", arguments: Method.allCases, [DType.f32, .nf4])
    func reload(_ method: Method, _ storage: DType) throws {
        func load() throws -> CausalLM {
            try ModelRegistry.load(Locations.fixture("models/tiny-qwen2"), weights: storage).model
        }
        let (model, folder) = (try load(), try TemporaryFolder())
        let off = logProbabilities(model, Self.tokens)
        try attach(method.configuration(), to: model, seed: 7)
        let on = logProbabilities(model, Self.tokens, adapters: ["default"])
        #expect(distance(on, off, relative: 0, absolute: 1e-2) > 1)
        try writeAdapter(method.configuration(), of: model, to: folder.path, record: AdapterRecord(baseModel: "tiny"))
        let again = try load()
        try attach(AdapterFolder(folder.path), to: again, isTrainable: false)
        #expect(logProbabilities(again, Self.tokens, adapters: ["default"]) == on)
        #expect(try tensorBits(again) == tensorBits(model))
        detachAdapter(named: "default", from: again)
        #expect(logProbabilities(again, Self.tokens, adapters: ["default"]) == off)
        #expect(throws: InputError.self) { try mergeAdapters(named: ["default"], in: model) }
        #expect(logProbabilities(model, Self.tokens, adapters: ["default"]) == on)
    }

    @Test("gradients are those of finite differences, and reach the adapter alone", arguments: Method.allCases)
    func gradients(_ method: Method) throws {
        let model = try tinyModel("tiny-qwen2")
        try attach(method.configuration(), to: model, seed: 7)
        // Two sequences, so that what they share gets both gradients.
        let layout = SequenceLayout([.init(count: Self.tokens.count), .init(count: Self.tokens.count - 3)])
        let tokens = Self.tokens + Self.tokens.dropFirst(3)
        let rows = (0..<9).map { Int32($0) } + (10..<16).map { Int32($0) } + (method.isVirtualRow ? [-1] : [])
        let targets = rows.map { tokens[Int($0) + 1] }
        func context(_ tape: Tape?) -> ForwardContext { ForwardContext(layout, tape: tape, adapters: ["default"]) }
        let tape = Tape()
        let result = model.score(
            tokens, rows: rows, targets: targets, coefficients: rows.map { _ in -1 }, context(tape))
        tape.backward(from: try #require(result.loss))
        for (path, parameter) in model.parameters() {
            #expect((parameter.gradient != nil) == parameter.isTrainable, "\(path)")
            guard let gradient = parameter.gradient else { continue }
            expectSlope(of: parameter, gradient, path) {
                let scores = model.score(tokens, rows: rows, targets: targets, context(nil)).scores
                return -scores.logProbabilities.reduce(0) { $0 + Double($1) }
            }
        }
    }

    @Test("a token that is generated is what a pass over the whole text gives", arguments: Method.allCases)
    func decoding(_ method: Method) throws {
        let model = try tinyModel()
        try attach(method.configuration(), to: model, seed: 7)
        let generator = Generator(model, adapters: ["default"], stopTokens: [])
        let prompts = [Self.tokens, Self.tokens + Self.tokens + Self.tokens + Self.tokens]
        var options = DecodingOptions(maximumTokens: 20)
        options.samplesPerPrompt = 2
        let answers = try generator.generate(prompts, options: options)
        for (prompt, samples) in zip(prompts, answers) {
            let text = prompt + samples[0].tokens
            #expect(samples[0] == samples[1])
            let rows = (prompt.count - 1..<text.count - 1).map { Int32($0) }
            let logits = model.logits(
                text, rows: rows, ForwardContext(SequenceLayout([.init(count: text.count)]), adapters: ["default"]))
            for row in rows.indices {
                let values = logits[rows: row..<row + 1].values
                let best = try #require(values.max())
                #expect(best - values[Int(text[prompt.count + row])] < 1e-4, "token \(row)")
            }
        }
    }

    @Test("virtual tokens take room in the model's context")
    func room() throws {
        let model = try tinyModel()
        let limit = model.configuration.maximumPositions
        try attach(PromptTuningConfiguration(virtualTokens: limit - 12), to: model, seed: 1)
        let generator = Generator(model, adapters: ["default"], stopTokens: [])
        let options = DecodingOptions(maximumTokens: 50)
        #expect(try generator.generate([Self.tokens], options: options)[0][0].tokens.count == 2)
        let error = #expect(throws: InputError.self) {
            try generator.generate([Self.tokens + [1, 2]], options: options)
        }
        #expect(error?.description.contains("virtual tokens take \(limit - 12)") == true)
    }

    @Test("methods stack: a prefix, a prompt and a LoRA at once, apart and together")
    func stacking() throws {
        let model = try tinyModel()
        var lora = LoRAConfiguration()
        lora.initialization = .random
        try attach(lora, to: model, name: "lora", seed: 1)
        for (seed, method) in [Method.prefix, .prompt, .houlsby].enumerated() {
            try attach(method.configuration(), to: model, name: method.rawValue, seed: UInt64(seed))
        }
        let names = ["lora", "prefix", "prompt", "houlsby"]
        let all = logProbabilities(model, Self.tokens, adapters: names)
        for name in names {
            #expect(all != logProbabilities(model, Self.tokens, adapters: names.filter { $0 != name }))
        }
        let generator = Generator(model, adapters: names, stopTokens: [])
        let answer = try generator.generate([Self.tokens], options: DecodingOptions(maximumTokens: 5))[0][0].tokens
        let text = Self.tokens + answer
        let logits = model.logits(
            text, rows: (9..<14).map { Int32($0) },
            ForwardContext(SequenceLayout([.init(count: text.count)]), adapters: names))
        #expect((0..<5).map { logits.largestIndex(row: $0).map(Int32.init) } == answer.map { $0 })
    }

    @Test("settings that make no sense are refused")
    func badSettings() throws {
        var text = PromptTuningConfiguration(virtualTokens: 3)
        text.initialization = .text
        var untokenized = text
        untokenized.text = "x"
        var factor = BottleneckConfiguration()
        factor.reductionFactor = 0
        var layer = BottleneckConfiguration()
        layer.layers = [2]
        var width = PrefixTuningConfiguration(virtualTokens: 2)
        (width.hasProjection, width.hiddenSize) = (true, 0)
        let bad: [(any AdapterConfiguration, String)] = [
            (PromptTuningConfiguration(virtualTokens: 0), "num_virtual_tokens"),
            (PrefixTuningConfiguration(virtualTokens: 1 << 40), "num_virtual_tokens"),
            (text, "needs `prompt_tuning_init_text`"), (untokenized, "has no tokens"), (factor, "reduction_factor"),
            (layer, "there is no layer 2"), (width, "encoder_hidden_size"),
        ]
        for (configuration, message) in bad {
            let error = #expect(throws: InputError.self) { try attach(configuration, to: tinyModel(), seed: 1) }
            #expect(error?.description.contains(message) == true, "\(String(describing: error))")
        }
    }

    @Test("folders with a fault, or of another model, are refused")
    func badFolders() throws {
        let source = Locations.fixture("prompts/tiny-llama/prefix")
        func fault(_ key: String, _ value: JSON, tensor: String = "prompt_embeddings") throws -> String {
            let folder = try TemporaryFolder()
            var settings = try JSON(contentsOf: source + "/adapter_config.json").object ?? [:]
            settings[key] = value
            try folder.write(JSON.object(settings).text(), to: "adapter_config.json")
            let values = try SafetensorsFile(source + "/adapter_model.safetensors").floats("prompt_embeddings")
            try SafetensorsWriter.write(
                [SafetensorsTensor(tensor, shape: [4, 128], values)], to: folder.file("adapter_model.safetensors"))
            let error = #expect(throws: InputError.self) {
                try attach(AdapterFolder(folder.path), to: tinyModel(), isTrainable: false)
            }
            return error?.description ?? ""
        }
        #expect(try fault("num_layers", 3).contains("another model: num_layers is 3, not 2"))
        #expect(try fault("token_dim", 64).contains("another model: token_dim is 64, not 32"))
        #expect(try fault("num_virtual_tokens", 5).contains("prompt_embeddings is [4, 128], not [5, 128]"))
        #expect(try fault("num_virtual_tokens", .null).contains("num_virtual_tokens is missing"))
        #expect(try fault("num_transformer_submodules", 2).contains("num_transformer_submodules: 2 is not supported"))
        #expect(try fault("init_weights", "one").contains("init_weights: \"one\" is not supported"))
        #expect(try fault("peft_type", "PROMPT_TUNING").contains("another model"))
        let missing = try fault("revision", .null, tensor: "base_model.model.prompt_embeddings")
        #expect(missing.contains("1 missing: prompt_embeddings") && missing.contains("1 not part of it: base_model"))
    }
}

extension VirtualTokenTests.Method {
    /// Whether the last virtual token predicts the first token.
    var isVirtualRow: Bool { self == .prompt || self == .vocabulary }
}
