import Adapters
import Files
import Layers
import Models
import Recipes
import Tensors
import TestSupport
import Testing
import Tokenizers

/// Tokens added to a tokenizer, the rows that tables get for them, and adapters that train these: `Tests/Fixtures/new_tokens`.
@Suite("New tokens") struct NewTokenTests {
    static let bases = ["tiny-llama", "tiny-llama-untied"]

    private func golden() throws -> JSON { try JSON(contentsOf: Locations.fixture("new_tokens/golden.json")) }

    private func strings(_ json: JSON?) -> [String] { (json?.array ?? []).compactMap(\.string) }

    private func ids(_ json: JSON?) -> [[Int32]] {
        (json?.array ?? []).map { ($0.array ?? []).compactMap { $0.integer.map(Int32.init) } }
    }

    @Test("ids and texts are those of transformers' tokenizer with the same tokens, also read again", arguments: bases)
    func tokenizer(_ base: String) throws {
        let golden = try golden()
        let new =
            strings(golden["plain"]).map { NewToken($0, isSpecial: false) }
            + strings(golden["special"]).map { NewToken($0, isSpecial: true) }
        let original = try Tokenizer(file: Locations.fixture("models/\(base)/tokenizer.json"))
        let grown = try original.adding(new)
        let folder = try TemporaryFolder()
        for (name, bytes) in grown.files { try folder.write(bytes, to: name) }
        let expected = golden["models"]?[base]
        for tokenizer in [
            grown, try Tokenizer(file: folder.file("tokenizer.json")),
            try Tokenizer(file: Locations.fixture("new_tokens/\(base)/tokenizer.json")),
        ] {
            #expect(tokenizer.vocabularySize == original.vocabularySize + 3)
            #expect(try strings(golden["texts"]).map { try tokenizer.encode($0) } == ids(expected?["ids"]))
            #expect(
                ids(expected?["ids"]).map { tokenizer.decode($0, skipSpecialTokens: true) }
                    == strings(expected?["decoded"]))
        }
        let text = "The keeper's lamp is lit."
        #expect(try original.encode(text) != grown.encode(text) && grown.bosToken == original.bosToken)
        for wrong in ["", "<thought>", String(repeating: "a", count: 5000)] {
            #expect(throws: InputError.self) { try grown.adding([NewToken(wrong, isSpecial: false)]) }
        }
        #expect(throws: InputError.self) {
            try original.adding([NewToken("<a>", isSpecial: false), NewToken("<a>", isSpecial: true)])
        }
    }

    @Test("PEFT's adapter of a model made larger gives PEFT's numbers", arguments: bases)
    func peft(_ base: String) throws {
        let expected = try golden()["models"]?[base]
        let folder = Locations.fixture("new_tokens/\(base)")
        let size = try Tokenizer(file: folder + "/tokenizer.json").vocabularySize
        for weights in [DType.f32, .nf4] {
            let loaded = try ModelRegistry.load(
                Locations.fixture("models/\(base)"), weights: weights,
                skipping: weights == .nf4 ? SkippedModules([]) : .standard, vocabulary: size)
            try attach(AdapterFolder(folder), to: loaded.model, isTrainable: false)
            guard weights == .f32 else { continue }
            for (tokens, numbers) in zip(ids(expected?["ids"]), expected?["logprobs"]?.array ?? []) {
                let context = ForwardContext(SequenceLayout([.init(count: tokens.count)]), adapters: ["default"])
                let rows = Array(0..<Int32(tokens.count - 1))
                let ours = loaded.model.score(tokens, rows: rows, targets: Array(tokens.dropFirst()), context).scores
                let theirs = (numbers.array ?? []).compactMap(\.number).map(Float.init)
                #expect(distance(ours.logProbabilities, theirs, relative: 0, absolute: 2e-5) <= 1)
            }
        }
    }

    @Test("a new row is the mean of the others, in embedding and head")
    func rows() throws {
        let path = Locations.fixture("models/tiny-llama-untied")
        let (small, large) = (
            try ModelRegistry.load(path).model, try ModelRegistry.load(path, vocabulary: 386).model
        )
        #expect(large.configuration.vocabularySize == 386)
        for (before, after) in [
            (small.model.embedding.weight, large.model.embedding.weight),
            (try #require(small.head).weight, try #require(large.head).weight),
        ] {
            let (x, y) = (before.value, after.value)
            #expect(y.shape == [386, x.columns] && Array(y.values.prefix(x.count)) == x.values)
            for column in 0..<x.columns {
                let mean = (0..<x.rows).reduce(0.0) { $0 + Double(x.values[$1 * x.columns + column]) } / Double(x.rows)
                for row in 384..<386 {
                    #expect(isClose(Double(y.values[row * x.columns + column]), mean, relative: 1e-6, absolute: 1e-9))
                }
            }
        }
    }

    /// A run on rows that hold new tokens.
    private func train(
        _ base: String, in folder: TemporaryFolder, model: String = "", adapter: String = "{ type: lora, r: 4 }",
        training: String = ""
    ) throws -> String {
        let rows = (0..<12).map { #"{"text": "<thought> The keeper lit lamp \#($0) again.<|done|>"}"# }
        try folder.write(rows.joined(separator: "\n"), to: "rows.jsonl")
        let recipe = """
            model: { path: \(base), add_tokens: [<thought>, keeper], add_special_tokens: ["<|done|>"]\(model) }
            \(adapter.isEmpty ? "" : "adapter: \(adapter)")
            dataset: { train: \(folder.file("rows.jsonl")), rows_per_batch: 4, max_length: 64, cache: false }
            objective: { type: sft, train_on: all }
            optimizer: { type: adamw, learning_rate: 1.0e-2 }
            training: { max_steps: 6\(training) }
            output: { path: \(folder.file("run")) }
            """
        return try Commands.train(RecipeReader.read(text: recipe, file: "r.yaml")).path
    }

    @Test(
        "a run adds them, trains their rows, and what it saved brings them along",
        arguments: ["models/tiny-llama", "models/tiny-llama-untied", "gguf/tiny-llama.gguf"], ["f32", "nf4"])
    func run(_ base: String, _ weights: String) throws {
        let (folder, base) = (try TemporaryFolder(), Locations.fixture(base))
        let path = try train(base, in: folder, model: ", weights: \(weights)")
        let file = try SafetensorsFile(path + "/adapter_model.safetensors")
        let rows = file.names.filter { $0.hasSuffix("trainable_tokens_delta") }
        #expect(rows.count == (base.hasSuffix("untied") ? 2 : 1))
        for name in rows { #expect(try file.entry(name).shape == [3, 64]) }
        #expect(try Tokenizer(file: path + "/tokenizer.json").encode("<thought><|done|>") == [384, 386])

        let settings = try ModelSettings(path: base, precision: nil, weights: nil)
        let options = ScoringOptions(data: folder.file("rows.jsonl"))
        let adapted = try Commands.evaluate(settings, adapters: [path], options: options)
        let plain = try Commands.evaluate(settings, options: options)
        // Fewer tokens stand for the same text, and are likelier than they were.
        #expect(
            adapted.tokens < plain.tokens && adapted.nll * Double(adapted.tokens) < plain.nll * Double(plain.tokens))
        let merged = try Commands.merge(settings, adapters: [path], output: folder.file("merged"), type: .f32)
        #expect(merged.isVerified)
        #expect(try JSON(contentsOf: folder.file("merged/config.json"))["vocab_size"] == 387)
        _ = try Commands.export(settings, adapters: [path], to: .gguf, output: folder.file("m.gguf"), type: .f32)
        for output in ["merged", "m.gguf"] {
            let whole = try Commands.evaluate(
                ModelSettings(path: folder.file(output), precision: nil, weights: nil), options: options)
            #expect(whole.tokens == adapted.tokens)
            #expect(isClose(whole.nll, adapted.nll, relative: 1e-5))
        }
        let generator = try TextGenerator(settings, adapters: [NamedAdapter(path)], options: GenerationOptions())
        #expect(try generator.generate([.text("<thought> The keeper")]).answers.count == 1)
    }

    @Test("whole tables, or all weights, can be trained instead of rows")
    func tables() throws {
        let folder = try TemporaryFolder()
        let base = Locations.fixture("models/tiny-llama")
        let saved = try train(base, in: folder, adapter: "{ type: ia3, modules_to_save: [embed_tokens] }")
        let file = try SafetensorsFile(saved + "/adapter_model.safetensors")
        #expect(try file.entry("base_model.model.model.embed_tokens.weight").shape == [387, 64])
        let whole = try TemporaryFolder()
        let path = try train(base, in: whole, adapter: "")
        let loaded = try ModelRegistry.load(path)
        #expect(loaded.model.configuration.vocabularySize == 387)
        #expect(try loaded.checkpoint.tokenizer().vocabularySize == 387)
    }

    @Test(
        "what makes no sense is refused",
        arguments: [
            ("{ type: ia3 }", "", "nothing trains the rows"), ("{ type: prompt }", "", "nothing trains the rows"),
            ("", ", trainable: [\".*norm.*\"]", "nothing trains the rows"),
            ("{ type: lora, target_modules: [embed_tokens] }", "", "is trained twice"),
        ])
    func refused(_ adapter: String, _ training: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: InputError.self) {
            try train(Locations.fixture("models/tiny-llama"), in: folder, adapter: adapter, training: training)
        }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }

    @Test("a token that is there already is named, and adapters with different tokens cannot be together")
    func conflicts() throws {
        let folder = try TemporaryFolder()
        let base = Locations.fixture("models/tiny-llama")
        for (tokens, words) in [
            ("[e]", "is there already"), ("[\"\"]", "is empty"), ("[<a>, <a>]", "to be added twice"),
        ] {
            let recipe = """
                model: { path: \(base), add_tokens: \(tokens) }
                dataset: { train: \(Locations.fixture("training/rows.jsonl")), max_length: 96, cache: false }
                objective: { type: sft }
                output: { path: \(folder.file("run")) }
                """
            let error = #expect(throws: InputError.self) {
                try Commands.train(RecipeReader.read(text: recipe, file: "r.yaml"))
            }
            #expect(error?.description.contains(words) == true, "\(tokens): \(error?.description ?? "")")
        }
        let run = try train(base, in: folder)
        let both = [
            NamedAdapter(name: "a", path: run),
            NamedAdapter(name: "b", path: Locations.fixture("new_tokens/tiny-llama")),
        ]
        let settings = try ModelSettings(path: base, precision: nil, weights: nil)
        // The same tokens: both apply.
        #expect(try TextGenerator(settings, adapters: both, options: GenerationOptions()).adapterNames == ["a", "b"])
        let other = try TemporaryFolder()
        let rows = other.file("rows.jsonl")
        try other.write(#"{"text": "<other> lamp"}"#, to: "rows.jsonl")
        let recipe = """
            model: { path: \(base), add_tokens: [<other>] }
            adapter: { type: lora, r: 2 }
            dataset: { train: \(rows), rows_per_batch: 1, max_length: 64, cache: false }
            objective: { type: sft, train_on: all }
            training: { max_steps: 1 }
            output: { path: \(other.file("run")) }
            """
        let third = try Commands.train(RecipeReader.read(text: recipe, file: "r.yaml")).path
        let error = #expect(throws: InputError.self) {
            try Commands.evaluate(settings, adapters: [run, third], options: ScoringOptions(data: rows))
        }
        #expect(error?.description.contains("adds other tokens") == true)
    }
}
