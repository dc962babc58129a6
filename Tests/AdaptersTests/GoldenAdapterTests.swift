import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Adapters that PEFT saved, as PEFT applies and merges them: `Tests/Fixtures/adapters`.
@Suite("Adapters agree with PEFT") struct GoldenAdapterTests {
    /// One adapter of the fixtures.
    struct Variant: Sendable, CustomTestStringConvertible {
        var base: String
        var name: String
        var testDescription: String { "\(base)/\(name)" }

        func golden() throws -> JSON {
            let file = try JSON(contentsOf: Locations.fixture("adapters/\(base)/golden.json"))
            return try #require(file["variants"]?[name])
        }
    }

    static let names = [
        "qv", "qv-bf16", "all-linear", "rslora", "patterns", "patterns-rslora", "layers", "layers-pattern", "regex",
        "exclude", "exclude-regex", "dora", "dora-rslora", "dora-embedding", "dora-head", "dora-pissa", "ia3",
        "ia3-named", "ia3-regex", "ia3-saved", "ia3-head", "ia3-head-input",
        "bias-all", "bias-lora", "embedding", "embedding-head", "embedding-tied", "saved-head", "saved-embedding",
        "saved-tied", "tokens", "tokens-apart", "pissa", "olora",
    ]
    /// Where PEFT folds into a weight that embedding and head share, so that what it merged is not what it was when on.
    static let peftMergesWrongly: Set<String> = [
        "embedding", "embedding-head", "embedding-tied", "tokens-apart", "dora-embedding", "dora-head", "ia3-head",
        "ia3-head-input",
    ]
    static let variants = bases.flatMap { base in names.map { Variant(base: base, name: $0) } }

    @Test("every variant of the fixtures is tested", arguments: bases)
    func allVariants(base: String) throws {
        let file = try JSON(contentsOf: Locations.fixture("adapters/\(base)/golden.json"))
        #expect(file["variants"]?.object?.keys.sorted() == Self.names.sorted())
    }

    @Test("exactly PEFT's modules, with its ranks and scales", arguments: variants)
    func modules(_ variant: Variant) throws {
        let model = try tinyModel(variant.base)
        try attach(fixtureAdapter(variant.testDescription), to: model, isTrainable: false)
        let expected = try #require(variant.golden()["modules"]?.object)
        var found: [String: JSON] = [:]
        for (path, module) in model.modules() {
            let table = (module as? Embedding)?.adapter("default")
            if let pair = table as? LoRAEmbedding ?? (table as? DoRAEmbedding)?.lora {
                found[path] = ["r": .integer(pair.a.value.rows), "scaling": .number(Double(pair.scale))]
            }
            guard let adapter = (module as? Linear)?.adapter("default") else { continue }
            if let pair = adapter as? LoRAAdapter ?? (adapter as? DoRAAdapter)?.lora {
                found[path] = ["r": .integer(pair.a.value.rows), "scaling": .number(Double(pair.scale))]
            } else if let vector = adapter as? IA3Adapter {
                found[path] = ["is_feedforward": .bool(vector.isFeedforward)]
            } else if let a = adapter.savedTensors.first(where: { $0.name == "lora_A.weight" }) {
                // A head that follows its embedding.
                found[path] = ["r": .integer(a.value.rows), "scaling": found["model.embed_tokens"]?["scaling"] ?? 0]
            }
        }
        #expect(found.keys.sorted() == expected.keys.sorted())
        for (path, values) in expected {
            for key in ["r", "is_feedforward"] { #expect(found[path]?[key] == values[key]) }
            #expect(found[path]?["scaling"]?.number.map(Float.init) == values["scaling"]?.number.map(Float.init))
        }
    }

    @Test("log-probabilities with the adapter on, off and merged", arguments: variants)
    func numbers(_ variant: Variant) throws {
        let golden = try variant.golden()
        let file = try JSON(contentsOf: Locations.fixture("adapters/\(variant.base)/golden.json"))
        let sequences = try #require(file["sequences"]?.array).map(\.ids)
        let model = try tinyModel(variant.base)
        try attach(fixtureAdapter(variant.testDescription), to: model, isTrainable: false)
        let adapted = sequences.map { logProbabilities(model, $0, adapters: ["default"]) }
        let base = sequences.map { logProbabilities(model, $0) }
        try mergeAdapters(named: ["default"], in: model)
        let merged = sequences.map { logProbabilities(model, $0, adapters: ["default"]) }
        for index in sequences.indices {
            let (on, off) = (golden["adapted"]?.array?[index].floats ?? [], file["base"]?.array?[index].floats ?? [])
            #expect(distance(adapted[index], on, relative: 0, absolute: 2e-5) <= 1)
            #expect(distance(base[index], off, relative: 0, absolute: 2e-5) <= 1)
            let golden = golden["merged"]?.array?[index].floats ?? []
            if !Self.peftMergesWrongly.contains(variant.name) {
                #expect(distance(merged[index], golden, relative: 0, absolute: 2e-5) <= 1)
            }
            #expect(distance(merged[index], adapted[index], relative: 0, absolute: 2e-5) <= 1)
            // An adapter that is forgotten must show.
            #expect(distance(on, off, relative: 0, absolute: 1e-2) > 1)
        }
    }

    @Test("what is written has PEFT's keys and the same bits", arguments: variants)
    func roundTrip(_ variant: Variant) throws {
        let (model, folder) = (try tinyModel(variant.base), try fixtureAdapter(variant.testDescription))
        try attach(folder, to: model, isTrainable: true)
        let output = try TemporaryFolder()
        let record = AdapterRecord(baseModel: folder.baseModel, metadata: [AdapterRecord.baseHash: "abc"])
        try writeAdapter(folder.configuration, of: model, to: output.path, record: record)

        let again = try AdapterFolder(output.path)
        #expect(again.metadata == ["format": "pt", AdapterRecord.baseHash: "abc"])
        #expect(again.notes.isEmpty)
        let other = try tinyModel(variant.base)
        try attach(again, to: other, isTrainable: false)
        #expect(try tensorBits(other) == tensorBits(model))

        let settings = try JSON(contentsOf: output.file("adapter_config.json"))
        var expected = try Self.comparable(JSON(contentsOf: folder.path + "/adapter_config.json"))
        if ["pissa", "olora", "dora-pissa"].contains(variant.name) {
            // As PEFT's path_initial_model_for_weight_conversion writes them.
            let alpha = variant.name == "olora" ? JSON.number(6 * 2.0.squareRoot()) : 12
            expected.merge(["init_lora_weights": true, "r": 8, "lora_alpha": alpha]) { $1 }
        }
        #expect(try Self.comparable(settings) == expected)
    }

    @Test(
        "weights below an adapter that are not the base's stand in for them",
        arguments: ["embedding-head", "embedding"])
    func ownBase(name: String) throws {
        let source = try fixtureAdapter("tiny-llama/\(name)")
        let folder = try TemporaryFolder()
        try folder.write(ByteSource(source.path + "/adapter_config.json").readAll(), to: "adapter_config.json")
        let file = try SafetensorsFile(source.path + "/adapter_model.safetensors")
        let tensors = try file.names.map { name -> SafetensorsTensor in
            let values = try file.floats(name)
            let isBase = name.hasSuffix("base_layer.weight")
            return try SafetensorsTensor(
                name, shape: file.entry(name).shape,
                isBase ? values.enumerated().map { $1 + Float($0 % 3) / 20 } : values)
        }
        try SafetensorsWriter.write(tensors, to: folder.file("adapter_model.safetensors"))
        let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8, 11, 3]
        func scores(_ folder: AdapterFolder) throws -> (CausalLM, [Float]) {
            let model = try tinyModel()
            try attach(folder, to: model, isTrainable: false)
            return (model, logProbabilities(model, tokens, adapters: ["default"]))
        }
        let ((model, own), (_, base)) = (try scores(AdapterFolder(folder.path)), try scores(source))
        #expect(distance(own, base, relative: 0, absolute: 1e-2) > 1)
        #expect(logProbabilities(model, tokens) == logProbabilities(try tinyModel(), tokens))
        let output = try TemporaryFolder()
        try writeAdapter(
            source.configuration, of: model, to: output.path, record: AdapterRecord(baseModel: "tiny-llama"))
        #expect(try scores(AdapterFolder(output.path)).1 == own)
        try mergeAdapters(named: ["default"], in: model)
        #expect(distance(logProbabilities(model, tokens), own, relative: 0, absolute: 2e-5) <= 1)
    }

    /// Settings that mean the same are equal: PEFT writes sets in any order, and takes a scalar for a list of one.
    private static func comparable(_ settings: JSON) throws -> [String: JSON] {
        var members = Dictionary(uniqueKeysWithValues: try #require(settings.object).map { ($0.key, $0.value) })
        for key in ["target_modules", "exclude_modules", "feedforward_modules"] {
            if let names = members[key]?.array { members[key] = .array(names.sorted { $0.text() < $1.text() }) }
        }
        if let layer = members["layers_to_transform"]?.integer { members["layers_to_transform"] = [.integer(layer)] }
        if let pattern = members["layers_pattern"]?.string { members["layers_pattern"] = [.string(pattern)] }
        return members
    }

    @Test("keys and layout are PEFT's to the byte, where the order of names is")
    func bytes() throws {
        let (model, folder) = (try tinyModel(), try fixtureAdapter("tiny-llama/regex"))
        try attach(folder, to: model, isTrainable: true)
        let output = try TemporaryFolder()
        let record = AdapterRecord(baseModel: "tiny-llama")
        try writeAdapter(folder.configuration, of: model, to: output.path, record: record)
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            let theirs = try ByteSource(folder.path + "/" + name).readAll()
            #expect(try ByteSource(output.file(name)).readAll() == theirs, "\(name)")
        }
    }

    @Test("SmolLM2 with an adapter of PEFT's", .enabled(if: Locations.model?.hasSuffix(".gguf") == true))
    func smolLM2() throws {
        let golden = try JSON(contentsOf: Locations.fixture("adapters/smollm2-start.json"))
        let model = try ModelRegistry.load(#require(Locations.model)).model
        try attach(fixtureAdapter("smollm2-start"), to: model, isTrainable: false)
        let texts = try #require(golden["texts"]?.array)
        for text in texts {
            let tokens = text["tokens"]?.ids ?? []
            let nll = logProbabilities(model, tokens, adapters: ["default"]).map { -$0 }
            #expect(distance(nll, text["nll"]?["gguf"]?.floats ?? [], relative: 0, absolute: 1e-4) <= 1)
        }
        try mergeAdapters(named: ["default"], in: model)
        for text in texts {
            let nll = logProbabilities(model, text["tokens"]?.ids ?? []).map { -$0 }
            #expect(distance(nll, text["nll_merged"]?["gguf"]?.floats ?? [], relative: 0, absolute: 1e-4) <= 1)
        }
    }
}
