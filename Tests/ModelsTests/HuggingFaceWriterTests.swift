import Files
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

/// Folders written by this program, read by it again.
@Suite("Writing Hugging Face folders") struct HuggingFaceWriterTests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8]

    private func tokenizer() throws -> Tokenizer {
        try Tokenizer(file: Locations.fixture("models/tiny-llama/tokenizer.json"))
    }

    @Test(
        "the same bits come back, from folders and GGUF files",
        arguments: [
            "models/tiny-llama", "models/tiny-llama-untied", "models/tiny-qwen2", "models/tiny-yarn",
            "gguf/tiny-llama.gguf", "gguf/tiny-qwen2.gguf", "gguf/tiny-llama3-rope.gguf",
        ])
    func reload(name: String) throws {
        let loaded = try ModelRegistry.load(Locations.fixture(name))
        let (folder, tokenizer) = (try TemporaryFolder(), try tokenizer())
        try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: folder.path, dtype: .f32)
        let again = try ModelRegistry.load(folder.path)
        #expect(again.model.configuration == loaded.model.configuration)
        #expect(
            logProbabilities(again.model, Self.tokens).map(\.bitPattern)
                == logProbabilities(loaded.model, Self.tokens).map(\.bitPattern))
        for (file, bytes) in tokenizer.files {
            #expect(try ByteSource(folder.file(file)).readAll() == bytes, "\(file)")
        }
    }

    @Test("what the original configuration says is kept, but for the type of the weights")
    func configuration() throws {
        let source = Locations.fixture("models/tiny-qwen2")
        let folder = try TemporaryFolder()
        try writeHuggingFaceFolder(
            ModelRegistry.load(source), tokenizer: tokenizer(), to: folder.path, dtype: .f16)
        var expected = try #require(JSON(contentsOf: source + "/config.json").object)
        expected["dtype"] = "float16"
        // Keys are sorted on both sides.
        #expect(try folder.read("config.json") == JSON.object(expected).text(.indented(2)) + "\n")
        let generation = try JSON(contentsOf: folder.file("generation_config.json"))
        #expect(try generation == JSON(contentsOf: source + "/generation_config.json"))
        let weights = try SafetensorsFile(folder.file("model.safetensors"))
        #expect(Set(weights.entries.values.map(\.type)) == [.f16])
        #expect(weights.entries["lm_head.weight"] == nil)
        #expect(weights.metadata == ["format": "pt"])
    }

    @Test("a GGUF model's folder names the tokenizer's special tokens")
    func specialTokens() throws {
        let folder = try TemporaryFolder()
        let (loaded, tokenizer) = (try ModelRegistry.load(Locations.fixture("gguf/tiny-llama.gguf")), try tokenizer())
        try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: folder.path, dtype: .bf16)
        for name in ["config.json", "generation_config.json"] {
            let json = try JSON(contentsOf: folder.file(name))
            #expect(json["eos_token_id"]?.integer == tokenizer.eosToken.map(Int.init), "\(name)")
            #expect(json["eos_token_id"] != nil)
        }
        #expect(try JSON(contentsOf: folder.file("config.json"))["dtype"] == "bfloat16")
    }

    @Test("a folder that holds something is replaced only when asked, and other files stay")
    func replacing() throws {
        let folder = try TemporaryFolder()
        let (loaded, tokenizer) = (try ModelRegistry.load(Locations.fixture("models/tiny-llama")), try tokenizer())
        try folder.write("{}", to: "metrics.jsonl")
        try folder.write("old", to: "model-00001-of-00002.safetensors")
        try folder.write("old", to: "model.safetensors.index.json")
        #expect(throws: InputError.self) {
            try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: folder.path, dtype: .f32)
        }
        #expect(try folder.read("model.safetensors.index.json") == "old")
        try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: folder.path, dtype: .f32, replacing: true)
        _ = try ModelRegistry.load(folder.path)
        #expect(try folder.read("metrics.jsonl") == "{}")
        #expect(PathKind(folder.file("model-00001-of-00002.safetensors")) == .missing)
        #expect(PathKind(folder.path + ".partial") == .missing)
    }

    @Test("a fault leaves nothing behind")
    func fault() throws {
        let folder = try TemporaryFolder()
        let (loaded, tokenizer) = (try ModelRegistry.load(Locations.fixture("models/tiny-llama")), try tokenizer())
        for (_, parameter) in loaded.model.parameters().suffix(1) {
            parameter.value = Tensor(repeating: 1e6, shape: parameter.value.shape)
        }
        let target = folder.file("out")
        #expect(throws: InputError.self) {
            try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: target, dtype: .f16)
        }
        #expect(PathKind(target) == .missing)
        #expect(PathKind(target + ".partial") == .missing)
    }
}
