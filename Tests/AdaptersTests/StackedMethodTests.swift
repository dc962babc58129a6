import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Methods on the same layers, and what is particular to DoRA and IA³.
@Suite("Stacked methods") struct StackedMethodTests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8, 11, 3]

    /// A method whose start changes the model.
    private func configuration(_ name: String) -> any AdapterConfiguration {
        if name == "ia3" {
            var ia3 = IA3Configuration(target: TargetModules(.only(.list(["q_proj", "v_proj", "down_proj"]))))
            ia3.initializesToOnes = false
            return ia3
        }
        var lora = LoRAConfiguration()
        (lora.r, lora.loraAlpha, lora.initialization) = (4, 6, .random)
        lora.useDoRA = name.hasPrefix("dora")
        return lora
    }

    @Test(
        "methods stack on a layer in any order, apart and merged",
        arguments: [
            ["lora", "dora", "ia3"], ["ia3", "lora", "dora"], ["dora", "ia3", "lora"], ["ia3", "dora"],
            ["dora", "dora2"],
        ])
    func stacking(order: [String]) throws {
        let model = try tinyModel("tiny-qwen2")
        for (seed, name) in order.enumerated() {
            try attach(configuration(name), to: model, name: name, seed: UInt64(seed))
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
            IA3Configuration(target: TargetModules(.only(.list(["embed_tokens"])))),
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
