import Adapters
import Files
import Models
import Tensors
import TestSupport
import Testing

/// Adapter folders with a fault, each of which must be named, with the model left as it was.
@Suite("Broken adapter folders") struct BadAdapterTests {
    static let source = Locations.fixture("adapters/tiny-llama/qv")
    static let tensor = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"

    /// A change to a good folder, and what the message has to say.
    struct Fault: Sendable, CustomTestStringConvertible {
        var name: String
        var says: [String]
        var change: @Sendable (TemporaryFolder) throws -> Void
        var testDescription: String { name }

        /// A change of one key of the settings.
        static func key(_ key: String, _ value: JSON, says: String...) -> Fault {
            Fault(name: "\(key): \(value.text())", says: says) { folder in
                var settings = try JSON(contentsOf: folder.file("adapter_config.json")).object ?? [:]
                settings[key] = value
                try folder.write(JSON.object(settings).text(), to: "adapter_config.json")
            }
        }

        /// A change of the tensors.
        static func tensors(
            _ name: String, says: String..., change: @escaping @Sendable (inout [(String, [Int], [Float])]) -> Void
        ) -> Fault {
            Fault(name: name, says: says) { folder in
                let file = try SafetensorsFile(folder.file("adapter_model.safetensors"))
                var tensors = try file.names.map { ($0, try file.entry($0).shape, try file.floats($0)) }
                change(&tensors)
                try SafetensorsWriter.write(
                    tensors.map { SafetensorsTensor($0.0, shape: $0.1, $0.2) },
                    to: folder.file("adapter_model.safetensors"))
            }
        }
    }

    static let faults: [Fault] = [
        .tensors("a missing tensor", says: "1 missing: \(tensor)") { $0.removeAll { $0.0 == tensor } },
        .tensors("a tensor too many", says: "1 not part of it: base_model.model.lm_head.lora_A.weight") {
            $0.append(("base_model.model.lm_head.lora_A.weight", [1, 2], [1, 2]))
        },
        .tensors("an adapter of a model with a layer more", says: "4 not part of it", "layers.2.self_attn.q_proj") {
            $0 += $0.filter { $0.0.contains("layers.1.") }.map {
                ($0.0.replacing("layers.1.", with: "layers.2."), $0.1, $0.2)
            }
        },
        .tensors("an adapter of a model with a layer less", says: "4 missing", "layers.1.self_attn.q_proj") {
            $0.removeAll { $0.0.contains("layers.1.") }
        },
        .tensors("two faults at once", says: "1 missing: \(tensor)", "1 not part of it: \(tensor)s") { tensors in
            for index in tensors.indices where tensors[index].0 == tensor { tensors[index].0 += "s" }
        },
        .tensors("a transposed tensor", says: "tensors do not fit", "\(tensor) is [64, 4], not [4, 64]") { tensors in
            for index in tensors.indices where tensors[index].0 == tensor { tensors[index].1.reverse() }
        },
        .key("r", 3, says: "lora_A.weight is [4, 64], not [3, 64]"),
        .key("r", 1_000_000_000_000, says: "adapter_config.json", "`r`", "65536"),
        .key("r", "four", says: "adapter_config.json: `r`: a whole number is needed, not \"four\""),
        .key("r", 2.5, says: "a whole number is needed, not 2.5"),
        .key("lora_alpha", [:], says: "`lora_alpha`: a number is needed"),
        .key("rank_pattern", ["q_proj": "x"], says: "`rank_pattern`: a mapping from module names to whole numbers"),
        .key("target_modules", ["c_attn"], says: "adapter_config.json", "matches no module", "q_proj"),
        .key("target_modules", ["proj"], says: "adapter_config.json", "matches no module"),
        .key("target_modules", "(", says: "adapter_config.json", "is not a valid regular expression"),
        .key("target_modules", [1], says: "`target_modules`: a list of module names or a regular expression"),
        .key("target_modules", .null, says: "target_modules is missing"),
        .key("use_dora", true, says: "4 missing: ", "q_proj.lora_magnitude_vector"),
        .key("bias", "some", says: "`bias`: none, all or lora_only is needed, not \"some\""),
        .key("modules_to_save", ["lm_head"], says: "1 missing: base_model.model.lm_head.weight"),
        .key("modules_to_save", [1], says: "`modules_to_save`: a string or a list of strings is needed"),
        .key("lora_bias", true, says: "lora_bias: true is not supported"),
        .key("target_parameters", ["x"], says: "target_parameters"),
        .key("layer_replication", [[0, 1]], says: "layer_replication"),
        .key(
            "trainable_token_indices", [1, 2], says: "1 missing: ", "embed_tokens.token_adapter.trainable_tokens_delta"),
        .key("trainable_token_indices", [1, 384], says: "there is no token 384: model.embed_tokens has 384"),
        .key("trainable_token_indices", [1, 1], says: "must list tokens, each once"),
        .key(
            "trainable_token_indices", ["norm": [1]], says: "norm is no table of tokens", "model.embed_tokens, lm_head"),
        .key("trainable_token_indices", ["lm_head": "a"], says: "`trainable_token_indices`: a list of token ids, or"),
        .key("init_lora_weights", "loftq", says: "init_lora_weights: \"loftq\" is not supported"),
        .key(
            "init_lora_weights", "pissa_niter_4", says: "a random decomposition",
            "path_initial_model_for_weight_conversion"),
        .key("peft_type", "LORRA", says: "type \"LORRA\" are not supported", "Did you mean \"LORA\"?"),
        .key("peft_type", "ADALORA", says: "type \"ADALORA\" are not supported", "Supported: LORA, IA3"),
        .key("peft_type", "IA3", says: "`feedforward_modules`", "feedforward_modules is missing"),
        .key("peft_type", .null, says: "peft_type is missing"),
        Fault(name: "settings that are a list", says: ["adapter_config.json: is an array, not an object"]) {
            try $0.write("[]", to: "adapter_config.json")
        },
        Fault(name: "broken JSON", says: ["adapter_config.json: byte", "not valid JSON"]) {
            try $0.write("{\"peft_type\": \"LORA\",", to: "adapter_config.json")
        },
        Fault(name: "JSON that nests without end", says: ["adapter_config.json", "deep"]) {
            try $0.write(String(repeating: "[", count: 100_000), to: "adapter_config.json")
        },
        Fault(name: "no settings", says: ["holds no adapter: there is no adapter_config.json"]) {
            try FileWriting.remove($0.file("adapter_config.json"))
        },
        Fault(name: "no tensors", says: ["has no adapter_model.safetensors"]) {
            try FileWriting.remove($0.file("adapter_model.safetensors"))
        },
        Fault(name: "tensors as a pickle", says: ["adapter_model.bin", "is not read here", "save_pretrained"]) {
            try FileWriting.remove($0.file("adapter_model.safetensors"))
            try $0.write("PK", to: "adapter_model.bin")
        },
        Fault(name: "a file cut short", says: ["adapter_model.safetensors"]) { folder in
            let bytes = try ByteSource(folder.file("adapter_model.safetensors")).readAll()
            try folder.write(Array(bytes.dropLast(10)), to: "adapter_model.safetensors")
        },
    ]

    @Test("each is named", arguments: faults)
    func named(_ fault: Fault) throws {
        let folder = try TemporaryFolder()
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            try folder.write(ByteSource(Self.source + "/" + name).readAll(), to: name)
        }
        try fault.change(folder)
        let model = try tinyModel()
        let error = #expect(throws: InputError.self) {
            try attach(AdapterFolder(folder.path), to: model, isTrainable: false)
        }
        for text in fault.says { #expect(error?.description.contains(text) == true, "\(String(describing: error))") }
        #expect(throws: InputError.self) { try adapterTensors(of: model) }
    }

    @Test("an adapter of another model says whose it is")
    func otherModel() throws {
        let folder = try fixtureAdapter("other-hidden-size")
        let error = #expect(throws: InputError.self) { try attach(folder, to: tinyModel(), isTrainable: false) }
        let text = try #require(error?.description)
        for part in ["made for another model", "is [4, 32], not [4, 64]", "\"another-model\""] {
            #expect(text.contains(part), "\(text)")
        }
    }

    @Test("a recorded base hash names the reason where tensors do not fit")
    func otherBase() throws {
        let (model, output) = (try tinyModel(), try TemporaryFolder())
        var configuration = LoRAConfiguration()
        configuration.target.layers = [1]
        try attach(configuration, to: model, seed: 1)
        let record = AdapterRecord(baseModel: "small", metadata: [AdapterRecord.baseHash: "aa"])
        try writeAdapter(configuration, of: model, to: output.path, record: record)
        var settings = try JSON(contentsOf: output.file("adapter_config.json")).object ?? [:]
        settings["layers_to_transform"] = [0, 1]
        try output.write(JSON.object(settings).text(), to: "adapter_config.json")
        func fault(_ hash: String?) -> String {
            let error = #expect(throws: InputError.self) {
                try attach(AdapterFolder(output.path), to: tinyModel(), isTrainable: false, baseHash: hash)
            }
            return error?.description ?? ""
        }
        #expect(fault("bb").contains("made for another model"))
        #expect(fault("bb").contains("another content hash"))
        #expect(fault("aa").contains("do not fit"))
        #expect(!fault(nil).contains("content hash"))
    }

    @Test("keys of a later PEFT are noted, not swallowed")
    func unknownKeys() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            ByteSource(Self.source + "/adapter_model.safetensors").readAll(), to: "adapter_model.safetensors")
        try folder.write(
            #"{"peft_type": "LORA", "target_modules": ["q_proj", "v_proj"], "r": 4, "use_magic": 1}"#,
            to: "adapter_config.json")
        let adapter = try AdapterFolder(folder.path)
        #expect(adapter.notes.count == 1)
        #expect(adapter.notes.first?.contains("use_magic") == true)
        // Missing keys have PEFT's defaults.
        #expect((adapter.configuration as? LoRAConfiguration)?.loraAlpha == 8)
        try attach(adapter, to: tinyModel(), isTrainable: false)
    }

    @Test("no folder, a file, a model's folder")
    func places() throws {
        func fault(_ path: String) -> String {
            (#expect(throws: InputError.self) { try AdapterFolder(path) })?.description ?? ""
        }
        #expect(fault("/nowhere/at/all").contains("no such folder"))
        #expect(fault(Self.source + "/adapter_config.json").contains("is a file"))
        #expect(fault(Locations.fixture("models/tiny-llama")).contains("looks like a model"))
    }
}
