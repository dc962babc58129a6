import Adapters
import Files
import Foundation
import Layers
import Models
import Recipes
import Tensors
import TestSupport
import Testing

/// What `graft export` writes of models with adapters and of adapters alone, read again.
@Suite struct ExportTests {
    static let variants = ["tiny-llama", "tiny-qwen2"].flatMap { base in
        ["qv", "all-linear", "rslora", "patterns", "patterns-rslora", "layers", "regex"].map { (base, $0) }
    }

    private func settings(_ base: String) throws -> ModelSettings {
        try ModelSettings(path: Locations.fixture("models/\(base)"), precision: nil, weights: nil)
    }

    private func floats(_ name: String, of checkpoint: any Checkpoint) throws -> Tensor {
        try Tensor(shape: checkpoint.shape(of: name)) { try checkpoint.readFloats(name, into: $0) }
    }

    /// llama.cpp computes `alpha / r · B A` with the file's one alpha and each layer's own r.
    @Test("an adapter's file gives each layer the update that PEFT gives it", arguments: variants)
    func adapter(base: String, variant: String) throws {
        let folder = try TemporaryFolder()
        let adapter = Locations.fixture("adapters/\(base)/\(variant)")
        let report = try Commands.export(
            settings(base), adapters: [adapter], to: .ggufLoRA, output: folder.file("lora.gguf"))
        let file = try openCheckpoint(folder.file("lora.gguf"))
        let metadata = file.configuration
        #expect(metadata["general.type"] == "adapter" && metadata["adapter.type"] == "lora")
        #expect(metadata["general.architecture"]?.string == (base == "tiny-llama" ? "llama" : "qwen2"))
        let alpha = try #require(metadata["adapter.lora.alpha"]?.number)

        let loaded = try ModelRegistry.load(Locations.fixture("models/\(base)"))
        let paths = try attach(AdapterFolder(adapter), to: loaded.model, isTrainable: false)
        #expect(report.layers == paths.count && file.tensorNames.count == 2 * paths.count)
        for (path, module) in loaded.model.modules() {
            guard let layer = module as? Linear, let own = layer.adapter("default") as? LoRAAdapter else { continue }
            let name = Self.ggufName(path)
            let (a, b) = (try floats("\(name).lora_a", of: file), try floats("\(name).lora_b", of: file))
            #expect(a.values == own.a.value.values, "\(path)")
            let configuration = loaded.model.configuration
            if base == "tiny-llama", path.hasSuffix("q_proj") || path.hasSuffix("k_proj") {
                let heads = path.hasSuffix("q_proj") ? configuration.heads : configuration.keyValueHeads
                b.withMutableFloats { unpermuteRotaryRows($0, rows: b.rows, heads: heads) }
            }
            let scale = Float(alpha / Double(a.rows))
            #expect(
                zip(b.values, own.b.value.values).allSatisfy { abs($0 * scale - $1 * own.scale) <= 1e-6 * abs($1) },
                "\(path)")
        }
    }

    @Test("an adapter whose scale needs no folding is written as it is")
    func plainAdapter() throws {
        let folder = try TemporaryFolder()
        _ = try Commands.export(
            settings("tiny-qwen2"), adapters: [Locations.fixture("adapters/tiny-qwen2/all-linear")], to: .ggufLoRA,
            output: folder.file("lora.gguf"))
        let file = try openCheckpoint(folder.file("lora.gguf"))
        #expect(file.configuration["adapter.lora.alpha"]?.number == 16)
        let source = try SafetensorsFile(
            Locations.fixture("adapters/tiny-qwen2/all-linear/adapter_model.safetensors"))
        #expect(
            try floats("blk.1.attn_q.weight.lora_b", of: file).values
                == source.floats("base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"))
    }

    @Test(
        "a method that a file of LoRA's factors cannot say is refused, and nothing is written",
        arguments: [("dora", ExportTarget.ggufLoRA), ("dora-rslora", .ggufLoRA), ("ia3", .ggufLoRA), ("ia3", .mlx)])
    func inexpressible(variant: String, target: ExportTarget) throws {
        let (folder, adapter) = (try TemporaryFolder(), Locations.fixture("adapters/tiny-llama/\(variant)"))
        let error = #expect(throws: InputError.self) {
            try Commands.export(settings("tiny-llama"), adapters: [adapter], to: target, output: folder.file("out"))
        }
        let text = target == .mlx ? "only LoRA and DoRA can be written" : "only LoRA's factors can be written"
        #expect(error?.description.contains(text) == true && error?.description.contains("Merge the adapter") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test("a folder for mlx-lm is read wherever an adapter's folder is named", arguments: ["dora", "patterns-rslora"])
    func mlx(variant: String) throws {
        let (folder, adapter) = (try TemporaryFolder(), Locations.fixture("adapters/tiny-llama/\(variant)"))
        let output = folder.file("mlx")
        let report = try Commands.export(settings("tiny-llama"), adapters: [adapter], to: .mlx, output: output)
        #expect(report.type == "f32" && report.logits == nil && report.layers > 0)
        let rows = try folder.write(#"{"text": "The tide turned at four, and with it the wind."}"#, to: "rows.jsonl")
        func nll(_ adapter: String) throws -> Double {
            try Commands.compare(settings("tiny-llama"), adapters: [adapter], options: ScoringOptions(data: rows))
                .entries[0].result.nll
        }
        #expect(abs(try nll(output) - nll(adapter)) < 1e-5)
        for type in [GGUFStorage.f16, .bf16] {
            let name = folder.file("mlx-\(type)")
            _ = try Commands.export(settings("tiny-llama"), adapters: [adapter], to: .mlx, output: name, type: type)
            #expect(abs(try nll(name) - nll(adapter)) < 1e-2)
        }
    }

    @Test("adapters are merged into what is written, which is read back", arguments: [ExportTarget.gguf, .safetensors])
    func merged(target: ExportTarget) throws {
        let folder = try TemporaryFolder()
        let adapter = Locations.fixture("adapters/tiny-llama/all-linear")
        let output = folder.file("out")
        for type in target.types {
            let report = try Commands.export(
                settings("tiny-llama"), adapters: [adapter], to: target, output: "\(output)-\(type)", type: type)
            let logits = try #require(report.logits)
            #expect(report.layers == 14 && report.isVerified == (type.isQuantized ? nil : true), "\(type)")
            // The tiny model's weights are random: four bits change much of what it says.
            let limit = type == .f32 ? 1e-9 : type == .q8_0 ? 1e-2 : type.isQuantized ? 1 : 1e-3
            #expect(logits.meanKL < limit, "\(type): \(logits.meanKL)")
        }
    }

    private static func ggufName(_ path: String) -> String {
        let names = [
            "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
            "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down",
        ]
        let parts = path.split(separator: ".").map(String.init)
        return "blk.\(parts[2]).\(names[parts[4]] ?? "").weight"
    }
}
