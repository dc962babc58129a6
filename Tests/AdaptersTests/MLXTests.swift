import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Adapters in mlx-lm's layout, written and read.
@Suite("mlx-lm's layout") struct MLXTests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8, 11, 3]
    static let variants = bases.flatMap { base in
        [
            "qv", "all-linear", "rslora", "patterns", "patterns-rslora", "layers", "layers-pattern", "regex", "exclude",
            "dora", "dora-rslora",
        ].map { "\(base)/\($0)" }
    }

    /// Writes an adapter of the fixtures in mlx-lm's layout.
    private func write(_ name: String, to folder: TemporaryFolder) throws -> CausalLM {
        let (model, adapter) = (try tinyModel(String(name.split(separator: "/")[0])), try fixtureAdapter(name))
        try attach(adapter, to: model, isTrainable: false)
        let configuration = try #require(adapter.configuration as? LoRAConfiguration)
        _ = try writeMLXAdapter(configuration, of: model, to: folder.path, baseModel: "tiny")
        return model
    }

    @Test("an adapter computes the same after the way there and back", arguments: variants)
    func roundTrip(name: String) throws {
        let folder = try TemporaryFolder()
        let model = try write(name, to: folder)
        let again = try tinyModel(String(name.split(separator: "/")[0]))
        let adapter = try AdapterFolder(folder.path)
        #expect(adapter.baseModel == "tiny" && adapter.notes.isEmpty)
        let paths = try attach(adapter, to: again, isTrainable: true)
        #expect(paths == model.modules().filter { ($0.module as? Linear)?.adapter("default") != nil }.map(\.path))
        let on = logProbabilities(model, Self.tokens, adapters: ["default"])
        #expect(distance(logProbabilities(again, Self.tokens, adapters: ["default"]), on, absolute: 2e-6) <= 1)
        #expect(distance(on, logProbabilities(model, Self.tokens), relative: 0, absolute: 1e-2) > 1)
        // PEFT's layout takes it on from there.
        let other = try TemporaryFolder()
        try writeAdapter(adapter.configuration, of: again, to: other.path, record: AdapterRecord(baseModel: nil))
        let third = try tinyModel(String(name.split(separator: "/")[0]))
        #expect(try attach(AdapterFolder(other.path), to: third, isTrainable: false) == paths)
        #expect(try tensorBits(third) == tensorBits(again))
    }

    /// `Tests/Fixtures/adapters/mlx`: folders that mlx-lm saved.
    @Test("adapters that mlx-lm saved compute what they compute there", arguments: bases, ["lora", "dora"])
    func saved(base: String, name: String) throws {
        let file = try JSON(contentsOf: Locations.fixture("adapters/mlx.json"))
        let sequences = try JSON(contentsOf: Locations.fixture("adapters/\(base)/golden.json"))["sequences"]?.array
        let golden = try #require(file[base]?["saved"]?[name]?.array)
        let model = try tinyModel(base)
        try attach(fixtureAdapter("mlx/\(base)/\(name)"), to: model, isTrainable: false)
        for (tokens, expected) in zip(try #require(sequences).map(\.ids), golden) {
            let on = logProbabilities(model, tokens, adapters: ["default"])
            #expect(distance(on, expected.floats, relative: 0, absolute: 5e-5) <= 1)
            #expect(distance(on, logProbabilities(model, tokens), relative: 0, absolute: 1e-2) > 1)
        }
    }

    /// What mlx-lm computed with adapters that were exported here is what PEFT computes with their sources.
    @Test("adapters that were written here compute the same in mlx-lm", arguments: bases)
    func judged(base: String) throws {
        let file = try JSON(contentsOf: Locations.fixture("adapters/mlx.json"))
        let golden = try JSON(contentsOf: Locations.fixture("adapters/\(base)/golden.json"))
        let loaded = try #require(file[base]?["loaded"]?.object)
        #expect(loaded.count == 6)
        for (variant, results) in loaded {
            let expected = golden["variants"]?[variant]?["adapted"]?.array ?? []
            let found = results.array ?? []
            #expect(found.count == expected.count && found.count == 2)
            for (found, expected) in zip(found, expected) {
                #expect(distance(found.floats, expected.floats, relative: 0, absolute: 5e-5) <= 1, "\(variant)")
            }
        }
    }

    @Test("the settings are mlx-lm's, and matrices lie the other way round")
    func layout() throws {
        func settings(_ name: String) throws -> (JSON, SafetensorsFile) {
            let folder = try TemporaryFolder()
            _ = try write("tiny-llama/" + name, to: folder)
            return (
                try JSON(contentsOf: folder.file("adapter_config.json")),
                try SafetensorsFile(folder.file("adapters.safetensors"))
            )
        }
        let (dora, tensors) = try settings("dora")
        let names: [JSON] = [
            "mlp.down_proj", "mlp.gate_proj", "mlp.up_proj", "self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj",
            "self_attn.v_proj",
        ]
        #expect(dora["fine_tune_type"] == "dora" && dora["num_layers"] == 2 && dora["model"] == "tiny")
        #expect(dora["lora_parameters"]?["rank"] == 4 && dora["lora_parameters"]?["scale"]?.number == 2)
        #expect(dora["lora_parameters"]?["keys"] == .array(names) && dora["lora_parameters"]?["dropout"]?.number == 0)
        #expect(tensors.names.count == 42)
        let source = try SafetensorsFile(Locations.fixture("adapters/tiny-llama/dora/adapter_model.safetensors"))
        let path = "model.layers.1.mlp.down_proj"
        let a = try source.floats("base_model.model.\(path).lora_A.weight")
        let shapes = try ["lora_a", "lora_b", "m"].map { try tensors.entry("\(path).\($0)").shape }
        #expect(shapes == [[96, 4], [4, 64], [64]])
        #expect(try tensors.floats(path + ".lora_a")[4 * 5 + 2] == a[2 * 96 + 5])
        #expect(
            try tensors.floats(path + ".m") == source.floats("base_model.model.\(path).lora_magnitude_vector"))

        // The last layer only.
        let layers = try settings("layers").0
        #expect(layers["num_layers"] == 1 && layers["lora_parameters"]?["keys"] == .array(names))
        // No names that stand for the last layers: whole paths.
        let exclude = try settings("exclude").0
        #expect(exclude["num_layers"] == 2)
        #expect(exclude["lora_parameters"]?["keys"]?.array?.contains("model.layers.1.self_attn.q_proj") == true)
        // Ranks and scales of each layer become one of each.
        let patterns = try settings("patterns").0
        #expect(patterns["lora_parameters"]?["rank"] == 6)
    }

    /// A change to a good folder, and what the message has to say.
    struct Fault: Sendable, CustomTestStringConvertible {
        var says: String
        var settings: @Sendable (inout [String: JSON]) -> Void = { _ in }
        var tensors: @Sendable (inout [(String, [Int], [Float])]) -> Void = { _ in }
        var testDescription: String { says }
    }

    static let faults = [
        Fault(says: "`fine_tune_type`: \"full\" is no kind of adapter", settings: { $0["fine_tune_type"] = "full" }),
        Fault(says: "lora_parameters is missing", settings: { $0["lora_parameters"] = nil }),
        Fault(says: "the rank is missing", settings: { $0["lora_parameters"] = ["scale": 2] }),
        Fault(says: "the scale is missing", settings: { $0["lora_parameters"] = ["rank": 4] }),
        Fault(says: "`scale`: a number is needed", settings: { $0["lora_parameters"] = ["rank": 4, "scale": "2"] }),
        Fault(says: "is [4, 64], not [8, 64]", settings: { $0["lora_parameters"] = ["rank": 8, "scale": 2] }),
        Fault(
            says: "`r`: a rank is a whole number", settings: { $0["lora_parameters"] = ["rank": 0, "scale": 2] }),
        Fault(says: "has tensors of 2 layers, but `num_layers` is 16", settings: { $0["num_layers"] = 16 }),
        Fault(
            says: "1 missing: model.layers.1.self_attn.q_proj.lora_b",
            tensors: { $0.removeAll { $0.0 == "model.layers.1.self_attn.q_proj.lora_b" } }),
        Fault(
            says: "layer 1 has no tensors of self_attn.q_proj, which other layers have",
            tensors: { $0.removeAll { $0.0.hasPrefix("model.layers.1.self_attn.q_proj") } }),
        Fault(
            says: "has tensors of 1 layers, but `num_layers` is 2",
            tensors: { $0.removeAll { $0.0.hasPrefix("model.layers.1.") } }),
        Fault(
            says: "9223372036854775807", settings: { $0["num_layers"] = 0 },
            tensors: { tensors in
                for index in tensors.indices where tensors[index].0.hasPrefix("model.layers.1.") {
                    tensors[index].0 = tensors[index].0.replacing("layers.1.", with: "layers.9223372036854775807.")
                }
            }),
        Fault(says: "holds no tensors", tensors: { $0 = [] }),
        Fault(
            says: "is no part of a LoRA or DoRA adapter", tensors: { $0.append(("model.norm.weight", [1], [1])) }),
        Fault(
            says: "matches no module", settings: { $0["num_layers"] = -1 },
            tensors: { tensors in
                for index in tensors.indices { tensors[index].0 = tensors[index].0.replacing("_proj", with: "_c") }
            }),
    ]

    @Test("what is refused", arguments: faults)
    func refused(_ fault: Fault) throws {
        let folder = try TemporaryFolder()
        _ = try write("tiny-llama/qv", to: folder)
        var settings: [String: JSON] = [:]
        for (key, value) in try JSON(contentsOf: folder.file("adapter_config.json")).object ?? [:] {
            settings[key] = value
        }
        let file = try SafetensorsFile(folder.file("adapters.safetensors"))
        var tensors = try file.names.map { ($0, try file.entry($0).shape, try file.floats($0)) }
        fault.settings(&settings)
        fault.tensors(&tensors)
        let changed = try TemporaryFolder()
        try changed.write(JSON(members: settings.map { ($0.key, $0.value) }).text(), to: "adapter_config.json")
        try SafetensorsWriter.write(
            tensors.map { SafetensorsTensor($0.0, shape: $0.1, $0.2) }, to: changed.file("adapters.safetensors"))
        let model = try tinyModel()
        let error = #expect(throws: InputError.self) {
            try attach(AdapterFolder(changed.path), to: model, isTrainable: false)
        }
        #expect(error?.description.contains(fault.says) == true, "\(String(describing: error))")
        #expect(throws: InputError.self) { try adapterTensors(of: model) }
    }

    @Test("no tensors' file, and a method that mlx-lm does not have")
    func others() throws {
        let folder = try TemporaryFolder()
        _ = try write("tiny-llama/qv", to: folder)
        try FileWriting.remove(folder.file("adapters.safetensors"))
        let error = #expect(throws: InputError.self) { try AdapterFolder(folder.path) }
        #expect(error?.description.contains("has no adapters.safetensors") == true)

        let model = try tinyModel()
        try attach(IA3Configuration(family: "llama"), to: model, seed: 1)
        #expect(throws: InputError.self) {
            try writeMLXAdapter(LoRAConfiguration(), of: model, to: folder.file("x"), baseModel: nil)
        }
    }
}
