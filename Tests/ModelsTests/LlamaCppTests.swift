import Files
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

/// Files exported here as llama.cpp computed with them (`Tests/Fixtures/judges/run_llama_cpp.py`), beside what is computed here.
@Suite("llama.cpp reads what is exported") struct LlamaCppTests {
    private static let bases = ["tiny-llama", "tiny-qwen2"]
    private let verdict = Result { try JSON(contentsOf: Locations.fixture("llama_cpp/verdict.json")) }

    private func golden(_ base: String) throws -> JSON {
        try JSON(contentsOf: Locations.fixture("adapters/\(base)/golden.json"))
    }

    private func numbers(_ json: JSON?) -> [Double] { (json?.array ?? []).compactMap(\.number) }
    private func ids(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.integer.map(Int32.init) } }

    /// The mean difference of log-probabilities that llama.cpp's rounding makes: it rounds the inputs of products to 16 bits beside
    /// weights of 16 bits, and to 8 beside quantised ones.
    private static let limits: [GGUFStorage: Double] = [.f32: 2e-6, .f16: 1e-3, .bf16: 1e-2]

    @Test("tiny models, in every type", arguments: bases, GGUFStorage.allCases)
    func tiny(base: String, storage: GGUFStorage) throws {
        let folder = try TemporaryFolder()
        let source = try ModelRegistry.load(Locations.fixture("models/\(base)"))
        let file = folder.file("out.gguf")
        try writeGGUF(source, tokenizer: source.checkpoint.tokenizer(), to: file, storage: storage, name: base)
        let model = try ModelRegistry.load(file).model
        let judged = try #require(verdict.get()["tiny"]?["models"]?["\(base)/\(storage.rawValue)"]?.array)
        let sequences = try #require(golden(base)["sequences"]?.array)
        #expect(judged.count == sequences.count && judged.count == 2)
        for (tokens, theirs) in zip(sequences, judged) {
            let (ours, theirs) = (logProbabilities(model, ids(tokens)).map(Double.init), numbers(theirs))
            #expect(ours.count == theirs.count)
            let mean = zip(ours, theirs).reduce(0) { $0 + abs($1.0 - $1.1) } / Double(ours.count)
            #expect(mean <= Self.limits[storage] ?? 0.05, "\(mean)")
        }
    }

    @Test("adapters with rsLoRA and patterns are what PEFT says they are, in llama.cpp too", arguments: bases)
    func adapters(base: String) throws {
        let judged = try #require(verdict.get()["tiny"]?["adapters"]?.object).filter { $0.key.hasPrefix(base + "/") }
        #expect(judged.count == 7)
        for (name, results) in judged {
            let variant = try #require(name.split(separator: "/").last.map(String.init))
            let expected = try #require(golden(base)["variants"]?[variant]?["adapted"]?.array)
            for (theirs, expected) in zip(results.array ?? [], expected) {
                #expect(distance(numbers(theirs), numbers(expected), relative: 0, absolute: 2e-5) <= 1, "\(name)")
            }
        }
    }

    @Test("vocabularies: llama.cpp cuts texts into the same tokens")
    func vocabularies() throws {
        let golden = try JSON(contentsOf: Locations.fixture("models/smollm2.json"))
        let judged = try #require(verdict.get()["smollm2"])
        #expect(judged["tokens"]?.array == golden["texts"]?.array?.compactMap { $0["tokens"] })
        #expect(judged["prompt_tokens"]?.array == golden["prompts"]?.array?.compactMap { $0["tokens"] })
        #expect(judged["has_template"] == true)
        // What the package tokenizers makes of the same texts, without the BOS that it puts in front.
        let sentencePiece = try #require(verdict.get()["sentencepiece"])
        let goldens = try JSON(contentsOf: Locations.fixture("tokenizers/goldens.json"))
        let expected = try #require(goldens["tokenizers"]?["llama2"]?["ids"]?.array).map(ids)
        let known = Dictionary(zip(goldens["texts"]?.array ?? [], expected), uniquingKeysWith: { $1 })
        let texts = try #require(sentencePiece["texts"]?.array)
        #expect(texts.count > 150)
        for (text, tokens) in zip(texts, sentencePiece["tokens"]?.array ?? []) {
            let plain = try #require(known[text])
            #expect(plain.filter { $0 != 1 && $0 != 2 } == ids(tokens).filter { $0 != 1 && $0 != 2 })
        }
    }

    /// Beside weights of 8 bits and fewer llama.cpp rounds inputs to 8 bits too: its answers part from ours where two tokens are close.
    @Test(
        "SmolLM2: likelihoods and greedy answers",
        .enabled(if: Locations.model?.hasSuffix(".gguf") == true, "needs Models/SmolLM2-135M-Instruct.gguf"),
        arguments: [(GGUFStorage.f16, 1e-3), (.q4_k, 0.02)])
    func smolLM2(storage: GGUFStorage, limit: Double) throws {
        let golden = try JSON(contentsOf: Locations.fixture("models/smollm2.json"))
        let folder = try TemporaryFolder()
        let source = try ModelRegistry.load(#require(Locations.model))
        let file = folder.file("out.gguf")
        try writeGGUF(source, tokenizer: source.checkpoint.tokenizer(), to: file, storage: storage, name: "x")
        let model = try ModelRegistry.load(file).model
        let judged = try #require(verdict.get()["smollm2"]?["models"]?[storage.rawValue])
        let texts = try #require(golden["texts"]?.array)
        let ours = texts.flatMap { logProbabilities(model, ids($0["tokens"])).map { -Double($0) } }
        let theirs = (judged["nll"]?.array ?? []).flatMap(numbers)
        #expect(ours.count == theirs.count)
        let (our, their) = (ours.reduce(0, +) / Double(ours.count), theirs.reduce(0, +) / Double(theirs.count))
        #expect(abs(our - their) <= limit, "\(our) beside \(their)")
        guard !storage.isQuantized else { return }
        let prompts = try #require(golden["prompts"]?.array).map { ids($0["tokens"]) }
        let answers = try Generator(model, stopTokens: [2]).generate(
            prompts, options: DecodingOptions(maximumTokens: 24))
        #expect(answers.map { $0[0].tokens } == judged["greedy"]?.array?.map { ids($0["tokens"]) })
    }
}
