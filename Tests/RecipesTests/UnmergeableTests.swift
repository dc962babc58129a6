import Files
import Recipes
import TestSupport
import Testing

/// What the commands do with adapters that are no update of a weight.
@Suite struct UnmergeableTests {
    static let model = Locations.fixture("models/tiny-llama")

    private func settings() throws -> ModelSettings {
        try ModelSettings(path: Self.model, precision: nil, weights: nil)
    }

    /// A folder with a trained adapter of a method.
    private func trained(_ adapter: String, in folder: TemporaryFolder, trainOn: String = "all") throws -> RunSummary {
        let recipe = """
            model: { path: \(Self.model) }
            adapter: \(adapter)
            dataset: { train: \(Locations.fixture("training/rows.jsonl")), rows_per_batch: 4, max_length: 96, cache: false }
            objective: { type: sft, train_on: \(trainOn) }
            training: { max_steps: 3 }
            output: { path: \(folder.file("run")) }
            """
        return try Commands.train(RecipeReader.read(text: recipe, file: "r.yaml"))
    }

    @Test(
        "are trained, evaluated, compared and generated with, and neither merged nor exported",
        arguments: [
            "{ type: prompt, num_virtual_tokens: 4, prompt_tuning_init: TEXT, prompt_tuning_init_text: Be kind. }",
            "{ type: prefix, num_virtual_tokens: 4, prefix_projection: true }",
            "{ type: bottleneck, init_bottleneck_weights: false }",
        ])
    func commands(_ adapter: String) throws {
        let folder = try TemporaryFolder()
        let run = try trained(adapter, in: folder).path
        try folder.write(
            #"{"text": "The tide turned at four in the morning."}"# + "\n"
                + #"{"text": "By noon the harbour was empty."}"#
                + "\n", to: "rows.jsonl")
        let options = ScoringOptions(data: folder.file("rows.jsonl"))
        let base = try Commands.evaluate(settings(), options: options)
        let adapted = try Commands.evaluate(settings(), adapters: [run], options: options)
        // The same tokens, so that the two can be compared.
        #expect(base.tokens == adapted.tokens && base.nll != adapted.nll)
        let compared = try Commands.compare(settings(), adapters: [run], options: options)
        #expect(compared.json.text().contains("\(adapted.nll)"))
        let output = folder.file("out")
        for export in [nil, ExportTarget.gguf, .ggufLoRA] {
            let error = #expect(throws: InputError.self) {
                guard let export else { return _ = try Commands.merge(settings(), adapters: [run], output: output) }
                _ = try Commands.export(settings(), adapters: [run], to: export, output: output)
            }
            let text = error?.description ?? ""
            #expect(text.contains("cannot be merged") || text.contains("only LoRA's factors"), "\(text)")
            if case .missing = PathKind(output) {} else { Issue.record("something was written") }
        }
    }

    @Test("rows must leave room for virtual tokens in the model's context")
    func room() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: InputError.self) {
            try trained("{ type: prompt, num_virtual_tokens: 33 }", in: folder)
        }
        #expect(error?.description.contains("`dataset.max_length` is 96, the model reads 95 tokens at most") == true)
    }

    @Test("a prompt's run trains the first token of a row where the mask covers it")
    func firstToken() throws {
        func trainedTokens(_ adapter: String, _ mask: String) throws -> Int {
            let folder = try TemporaryFolder()
            _ = try trained(adapter, in: folder, trainOn: mask)
            let line = try folder.read("run/metrics.jsonl").split(separator: "\n").first ?? ""
            return try JSON(parsing: String(line))["trained_tokens"]?.integer ?? 0
        }
        let (prompt, prefix) = ("{ type: prompt }", "{ type: prefix }")
        #expect(try trainedTokens(prompt, "all") == trainedTokens(prefix, "all") + 4)
        #expect(try trainedTokens(prompt, "assistant") == trainedTokens(prefix, "assistant"))
    }
}
