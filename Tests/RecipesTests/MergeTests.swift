import Adapters
import Files
import Foundation
import Models
import Recipes
import Tensors
import TestSupport
import Testing

/// `graft merge`, `compare` and `adapters combine` on the tiny models.
@Suite("Merging and combining") struct MergeTests {
    private func settings(_ weights: String? = nil, double: Bool = true) throws -> ModelSettings {
        try ModelSettings(
            path: Locations.fixture("models/tiny-llama"), precision: nil, weights: weights,
            doubleQuant: weights == "nf4" ? "\(double)" : nil)
    }

    private func adapter(_ name: String) -> String { Locations.fixture("adapters/tiny-llama/\(name)") }

    /// A file of rows of text.
    private func texts(_ folder: TemporaryFolder) throws -> ScoringOptions {
        let lines = (0..<6).map {
            "{\"text\": \"The miller counted \($0) sacks, and then \(7 * $0) more by the mill.\"}"
        }
        try lines.joined(separator: "\n").write(toFile: folder.file("rows.jsonl"), atomically: true, encoding: .utf8)
        return ScoringOptions(data: folder.file("rows.jsonl"))
    }

    @Test("an adapter whose file says that it was trained on other weights is refused, and taken where one insists")
    func otherBase() throws {
        let folder = try TemporaryFolder()
        let rows = try texts(folder)
        let recipe = """
            model: { path: \(Locations.fixture("models/tiny-llama")) }
            adapter: { type: lora, r: 2 }
            dataset: { train: \(rows.data), rows_per_batch: 2, max_length: 64, cache: false }
            objective: { type: sft, train_on: all }
            training: { max_steps: 1 }
            output: { path: \(folder.file("run")) }
            """
        let run = try Commands.train(RecipeReader.read(text: recipe, file: "r.yaml")).path
        _ = try Commands.evaluate(settings(), adapters: [run], options: rows)
        // The same shapes, another number.
        let other = folder.file("other")
        let loaded = try ModelRegistry.load(Locations.fixture("models/tiny-llama"))
        loaded.model.model.embedding.weight.value.withMutableFloats { $0[0] += 1 }
        try writeHuggingFaceFolder(loaded, tokenizer: loaded.checkpoint.tokenizer(), to: other, dtype: .f32)
        let strict = try ModelSettings(path: other, precision: nil, weights: nil)
        let commands: [() throws -> Void] = [
            { _ = try Commands.evaluate(strict, adapters: [run], options: rows) },
            { _ = try Commands.compare(strict, adapters: [run], options: rows) },
            { _ = try Commands.merge(strict, adapters: [run], output: folder.file("merged")) },
            { _ = try Commands.export(strict, adapters: [run], to: .ggufLoRA, output: folder.file("x.gguf")) },
            { _ = try TextGenerator(strict, adapters: [NamedAdapter(run)], options: GenerationOptions()) },
            {
                _ = try Commands.train(
                    RecipeReader.read(
                        text: recipe, file: "r.yaml",
                        overrides: [
                            "model.path=\(other)", "adapter.init_from=\(run)", "output.path=\(folder.file("b"))",
                        ]))
            },
            {
                _ = try Commands.train(
                    RecipeReader.read(
                        text: recipe, file: "r.yaml",
                        overrides: [
                            "model.path=\(other)", "model.adapters=[\(run)]", "output.path=\(folder.file("c"))",
                        ]))
            },
        ]
        for (index, command) in commands.enumerated() {
            let error = #expect(throws: InputError.self, "\(index)") { try command() }
            #expect(error?.description.contains("other weights") == true, "\(index): \(error?.description ?? "")")
        }
        let insisting = try ModelSettings(path: other, precision: nil, weights: nil, anyBase: true)
        #expect(try Commands.evaluate(insisting, adapters: [run], options: rows).nll.isFinite)
    }

    @Test(
        "every method merges on every base, several in order too",
        arguments: ["f32", "bf16", "int8", "nf4"],
        [["all-linear"], ["rslora"], ["dora"], ["ia3"], ["qv", "dora", "ia3"]])
    func everyBase(_ weights: String, _ names: [String]) throws {
        let folder = try TemporaryFolder()
        let report = try Commands.merge(
            settings(weights), adapters: names.map(adapter), output: folder.file("merged"), type: .f32)
        #expect(report.isVerified && report.logits.maximum < 1e-3 && report.layers > 0)
    }

    @Test("base, adapter, merged and re-quantised model stand side by side, and in a file", arguments: [true, false])
    func sideBySide(_ isDouble: Bool) throws {
        let folder = try TemporaryFolder()
        let rows = try texts(folder)
        let report = try Commands.merge(
            settings("nf4", double: isDouble), adapters: [adapter("all-linear")], output: folder.file("merged"),
            type: .f32, rows: rows)
        let comparison = try #require(report.comparison)
        #expect(comparison.entries.map(\.name) == ["adapter", "merged", "requantised"])
        #expect(comparison.entries.map(\.logitsAgainst) == ["base", "adapter", "adapter"])
        let (adapted, merged, again) = (comparison.entries[0], comparison.entries[1], comparison.entries[2])
        #expect(merged.logits.maximum < 1e-3 && abs(merged.result.nll - adapted.result.nll) < 1e-5)
        #expect(again.logits.meanKL > 100 * max(merged.logits.meanKL, 1e-9))
        let record = try JSON(contentsOf: folder.file("merged/\(Commands.mergeRecord)"))
        #expect(record["base_storage"]?.string == (isDouble ? "nf4_double_quant" : "nf4"))
        #expect(record["comparison"]?["requantised"]?["nll"]?.number == again.result.nll)
        #expect(record["adapters"]?.array?.first?.string == adapter("all-linear"))

        let compared = try Commands.compare(
            settings("nf4", double: isDouble), adapters: [adapter("all-linear")], merged: folder.file("merged"),
            options: rows)
        #expect(compared.entries.map(\.result.nll) == comparison.entries.map(\.result.nll))

        let quantised = try Commands.merge(
            settings("nf4", double: isDouble), adapters: [adapter("all-linear")], output: folder.file("nf4"),
            type: .nf4, rows: rows)
        #expect(quantised.comparison?.entries.map(\.name) == ["adapter", "merged", "requantised"])
        // The same numbers, written quantised or quantised as they are loaded.
        #expect(quantised.comparison?.entries[2].result.nll == again.result.nll)
        let written = try openCheckpoint(folder.file("nf4"))
        #expect(written.quantization == (isDouble ? .nf4DoubleQuant : .nf4))
    }

    @Test("an export in NF4 is the model that is loaded in NF4, with an adapter or without")
    func exported() throws {
        let folder = try TemporaryFolder()
        let report = try Commands.export(
            settings(), adapters: [], to: .safetensors, output: folder.file("base"), typeNamed: "nf4")
        #expect(report.type == "nf4" && report.layers == 0 && report.isVerified == nil)
        let rows = try texts(folder)
        func nll(_ settings: ModelSettings) throws -> Double { try Commands.evaluate(settings, options: rows).nll }
        let path = folder.file("base")
        let asStored = try nll(ModelSettings(path: path, precision: nil, weights: nil))
        #expect(try asStored == nll(settings("nf4")))
        #expect(try asStored != nll(settings()))
        let errors: [(ExportTarget, String, String)] = [
            (.safetensors, "int8", "`--type int8` is not written"), (.gguf, "nf4", "`--type nf4` is not written"),
            (.safetensors, "nf5", "must be one of"),
        ]
        for (target, type, words) in errors {
            let error = #expect(throws: InputError.self) {
                try Commands.export(
                    settings(), adapters: [], to: target, output: folder.file("no"), typeNamed: type)
            }
            #expect(error.map { "\($0)".contains(words) } == true)
        }
    }

    @Test("a merge that is not what the adapter computes is refused, and says so of a merge")
    func refused() throws {
        let folder = try TemporaryFolder()
        // Weights near the end of what f16 holds are rounded coarsely.
        let huge = folder.file("huge")
        let model = try ModelRegistry.load(Locations.fixture("models/tiny-llama")).model
        var lora = LoRAConfiguration()
        (lora.initialization, lora.loraAlpha, lora.r) = (.random, 40000, 4)
        try attach(lora, to: model, seed: 3)
        try writeAdapter(lora, of: model, to: huge, record: AdapterRecord(baseModel: nil))
        func merge(force: Bool) throws -> MergeReport {
            try Commands.merge(settings(), adapters: [huge], output: folder.file("out"), type: .bf16, force: force)
        }
        let error = #expect(throws: RunError.self) { try merge(force: false) }
        #expect(error.map { "\($0)".contains("the merge is refused") } == true)
        #expect(!FileManager.default.fileExists(atPath: folder.file("out")))
        let forced = try merge(force: true)
        #expect(!forced.isVerified && FileManager.default.fileExists(atPath: folder.file("out")))
    }

    @Test("combined adapters are scored beside what they come from, and the best of a grid is written")
    func combined() throws {
        let folder = try TemporaryFolder()
        let rows = try texts(folder)
        let inputs = [adapter("qv"), adapter("all-linear")]
        let exact = try Commands.combine(
            adapters: inputs, [Combination(.cat, weights: [1, 0])], output: folder.file("cat"),
            scoring: (settings(), rows))
        #expect(exact.inputs.count == 2 && exact.trials.count == 1 && exact.rank == 8 && exact.layers == 14)
        let (first, result) = (try #require(exact.inputs[0].result), try #require(exact.trials[0].result))
        #expect(abs(first.nll - result.nll) < 1e-5 && exact.base?.nll != first.nll)

        let grid = CombinationGrid(
            Combination(.svd, weights: []), weights: [[1, 0], [0.5, 0.5], [0, 1], [-1, 0]], densities: [], adapters: 2)
        let ranked = try Commands.combine(
            adapters: inputs, grid.combinations, output: folder.file("best"), scoring: (settings(), rows))
        let losses = ranked.trials.compactMap { $0.result?.nll }
        #expect(losses.count == 4 && losses == losses.sorted())
        let written = try Commands.evaluate(settings(), adapters: [folder.file("best")], options: rows)
        #expect(abs(written.nll - losses[0]) < 1e-9)
        #expect(throws: InputError.self) {
            try Commands.combine(adapters: inputs, grid.combinations, output: folder.file("none"))
        }
        #expect(throws: InputError.self) {
            try Commands.combine(
                adapters: inputs, [Combination(.cat, weights: [1, 0])], output: folder.file("cat"))
        }
        #expect(throws: InputError.self) { try Commands.combinationType("tie") }
    }

    @Test("a grid tries all weights in quarters that add up to one, and four densities")
    func grid() {
        let grid = CombinationGrid(
            Combination(.ties, weights: []), weights: [], densities: [], adapters: 3)
        #expect(grid.combinations.count == 15 * 4)
        #expect(grid.combinations.allSatisfy { $0.weights.reduce(0, +) == 1 && $0.weights.count == 3 })
        #expect(Set(grid.combinations.compactMap(\.density)) == [0.2, 0.4, 0.6, 0.8])
    }
}
