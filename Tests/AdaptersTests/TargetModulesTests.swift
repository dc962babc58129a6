import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Which modules a configuration chooses, by PEFT's rules, and what is said where it chooses none.
@Suite("Target modules") struct TargetModulesTests {
    /// Settings, and the layers of the tiny model that they adapt: the ends of their paths.
    struct Choice: Sendable, CustomTestStringConvertible {
        var name: String
        var target: TargetModules
        var layers: [String]
        var testDescription: String { name }
    }

    static let projections = [
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
        "mlp.down_proj",
    ]

    static let choices = [
        Choice(
            name: "all-linear", target: TargetModules(),
            layers: ["layers.0.", "layers.1."].flatMap { layer in projections.map { layer + $0 } }),
        Choice(
            name: "all-linear in one layer, but for one name",
            target: TargetModules(exclude: .list(["o_proj"]), layers: [1]),
            layers: projections.filter { !$0.hasSuffix("o_proj") }.map { "layers.1." + $0 }),
        // A name is a whole part of a path: "proj" ends many of them and is none.
        Choice(
            name: "a name and the end of a path",
            target: TargetModules(.only(.list(["layers.0.mlp.up_proj", "v_proj"]))),
            layers: ["layers.0.self_attn.v_proj", "layers.0.mlp.up_proj", "layers.1.self_attn.v_proj"]),
        // PEFT looks at the layer only where a name was matched by its end.
        Choice(
            name: "a whole path beside a layer",
            target: TargetModules(.only(.list(["model.layers.0.mlp.up_proj", "v_proj"])), layers: [1]),
            layers: ["layers.0.mlp.up_proj", "layers.1.self_attn.v_proj"]),
        Choice(
            name: "the head by name", target: TargetModules(.only(.list(["lm_head"]))), layers: ["lm_head"]),
        Choice(
            name: "a regular expression of Python's",
            target: TargetModules(.only(.expression(#"model\.layers\.(?P<layer>1)\.\w+\.[qk]_proj"#))),
            layers: ["layers.1.self_attn.q_proj", "layers.1.self_attn.k_proj"]),
        // The whole path must match, whichever alternative comes first.
        Choice(
            name: "alternatives of different length",
            target: TargetModules(.only(.expression("lm|lm_head|.*q_pro"))), layers: ["lm_head"]),
        Choice(
            name: "a layers pattern that is a regular expression",
            target: TargetModules(.only(.list(["q_proj"])), layers: [0], layersPattern: ["h", "lay.*"]),
            layers: ["layers.0.self_attn.q_proj"]),
    ]

    @Test("what is chosen", arguments: choices)
    func chosen(_ choice: Choice) throws {
        var configuration = LoRAConfiguration()
        configuration.target = choice.target
        let paths = try attach(configuration, to: tinyModel(), seed: 1)
        #expect(paths.map { $0.replacing("model.", with: "") } == choice.layers)
    }

    @Test("all-linear is saved as names that give the same modules", arguments: bases)
    func savedNames(base: String) throws {
        let (model, output) = (try tinyModel(base), try TemporaryFolder())
        var configuration = LoRAConfiguration()
        configuration.target.layers = [1]
        configuration.loraAlpha = 0.5
        let paths = try attach(configuration, to: model, seed: 1)
        try writeAdapter(configuration, of: model, to: output.path, record: AdapterRecord(baseModel: base))
        let settings = try JSON(contentsOf: output.file("adapter_config.json"))
        let names = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
        #expect(settings["target_modules"] == .array(names.map { .string($0) }))
        #expect(settings["lora_alpha"]?.number == 0.5)
        let again = try tinyModel(base)
        #expect(try attach(AdapterFolder(output.path), to: again, isTrainable: false) == paths)
        #expect(try tensorBits(again) == tensorBits(model))
    }

    @Test("the first pattern that fits counts, after saving too")
    func patternOrder() throws {
        let (model, output) = (try tinyModel(), try TemporaryFolder())
        var configuration = LoRAConfiguration()
        configuration.target = TargetModules(.only(.list(["q_proj", "v_proj"])))
        // Sorted, as they are in a file, the second row would come first.
        configuration.rankPattern = ModuleTable([
            .init(key: "q_proj", value: 2), .init(key: #".*\.self_attn\.\w_proj"#, value: 3),
        ])
        try attach(configuration, to: model, seed: 1)
        try writeAdapter(configuration, of: model, to: output.path, record: AdapterRecord(baseModel: nil))
        let again = try tinyModel()
        try attach(AdapterFolder(output.path), to: again, isTrainable: false)
        #expect(try tensorBits(again) == tensorBits(model))
        let ranks = try adapterTensors(of: again).filter { $0.name.hasSuffix("lora_A.weight") }
            .map(\.value.rows)
        #expect(ranks == [2, 3, 2, 3])
    }

    /// Settings that a recipe must not have, and what the message has to say.
    struct Fault: Sendable, CustomTestStringConvertible {
        var says: [String]
        var change: @Sendable (inout LoRAConfiguration) -> Void
        var testDescription: String { says[0] }
    }

    static let faults = [
        Fault(says: ["no module is named qproj", "Did you mean q_proj?"]) {
            $0.target.include = .only(.list(["v_proj", "qproj"]))
        },
        // The end of a name is not a name.
        Fault(says: ["no module is named proj"]) { $0.target.include = .only(.list(["proj"])) },
        Fault(says: ["no module is named c_attn", "The linear layers are q_proj, k_proj"]) {
            $0.target.include = .only(.list(["c_attn"]))
        },
        Fault(says: ["`exclude_modules`: no module is named o_prj", "o_proj"]) { $0.target.exclude = .list(["o_prj"]) },
        Fault(says: ["all-linear matches no module", "`exclude_modules`"]) { $0.target.exclude = .expression(".*") },
        Fault(says: ["matches no module", "`layers_to_transform`"]) { $0.target.layers = [2] },
        Fault(says: ["`target_modules`: \".*(q_proj\" is not a valid regular expression", "parenthes"]) {
            $0.target.include = .only(.expression(".*(q_proj"))
        },
        Fault(says: ["`exclude_modules`: \"[\" is not a valid regular expression"]) {
            $0.target.exclude = .expression("[")
        },
        Fault(says: ["`rank_pattern`: \"*\" is not a valid regular expression"]) {
            $0.rankPattern = ModuleTable([.init(key: "*", value: 1)])
        },
        Fault(says: ["fails on model.", "match limit"]) {
            $0.target.include = .only(.expression("(([a-z_.0-9]+)+)+[A-Z]"))
        },
        Fault(says: ["names model.norm, which is no linear layer"]) {
            $0.target.include = .only(.list(["norm", "q_proj"]))
        },
        Fault(says: ["`modules_to_save`: no module is named lm_haed", "Did you mean lm_head?"]) {
            $0.modulesToSave = ["lm_haed"]
        },
        Fault(says: ["lm_head is trained twice"]) {
            ($0.modulesToSave, $0.trainableTokens) = (["lm_head"], .embedding([3]))
        },
        Fault(says: ["model.embed_tokens is trained twice"]) {
            $0.target.include = .only(.list(["embed_tokens"]))
            $0.trainableTokens = .embedding([3])
        },
        Fault(says: ["`trainable_token_indices`: there is no token 400"]) { $0.trainableTokens = .embedding([400]) },
        Fault(says: ["`trainable_token_indices`: up_proj is no table of tokens"]) {
            $0.trainableTokens = .tables(["up_proj": [1]])
        },
        Fault(says: ["`ensure_weight_tying`: neither the embedding nor the head is trained"]) {
            $0.ensuresWeightTying = true
        },
        Fault(says: ["`ensure_weight_tying` is not supported with `use_dora`"]) {
            $0.target.include = .only(.list(["embed_tokens"]))
            ($0.useDoRA, $0.ensuresWeightTying) = (true, true)
        },
        Fault(says: ["PiSSA and OLoRA of the embedding"]) {
            $0.target.include = .only(.list(["embed_tokens"]))
            $0.initialization = .pissa(rounds: nil)
        },
        Fault(says: ["k_proj is [32, 64], which has no decomposition of rank 33"]) {
            ($0.r, $0.initialization) = (33, .pissa(rounds: 2))
        },
        Fault(says: ["`lora_alpha`: PiSSA and OLoRA need a scale above 0"]) {
            ($0.loraAlpha, $0.initialization) = (-1, .olora)
        },
        Fault(says: ["`rank_pattern`: \"q_prj\" fits none", "Did you mean q_proj?"]) {
            $0.rankPattern = ModuleTable([.init(key: "q_prj", value: 1)])
        },
        Fault(says: ["`alpha_pattern`: \"lm_head\" fits none"]) {
            $0.alphaPattern = ModuleTable([.init(key: "lm_head", value: 1)])
        },
        Fault(says: ["`r`", "not 0"]) { $0.r = 0 },
        Fault(says: ["`rank_pattern.q_proj`", "not -1"]) {
            $0.rankPattern = ModuleTable([.init(key: "q_proj", value: -1)])
        },
        Fault(says: ["`lora_dropout`", "not 1.0"]) { $0.loraDropout = 1 },
        Fault(says: ["`lora_alpha`"]) { $0.loraAlpha = .infinity },
        Fault(says: ["`layers_pattern` needs `layers_to_transform`"]) { $0.target.layersPattern = ["layers"] },
        Fault(says: ["`layers_to_transform` cannot stand beside a regular expression"]) {
            $0.target = TargetModules(.only(.expression(".*q_proj")), layers: [0])
        },
    ]

    @Test("what is refused", arguments: faults)
    func refused(_ fault: Fault) throws {
        var configuration = LoRAConfiguration()
        fault.change(&configuration)
        let model = try tinyModel()
        let error = #expect(throws: InputError.self) { try attach(configuration, to: model, seed: 1) }
        for text in fault.says { #expect(error?.description.contains(text) == true, "\(String(describing: error))") }
        #expect(throws: InputError.self) { try adapterTensors(of: model) }
    }
}
