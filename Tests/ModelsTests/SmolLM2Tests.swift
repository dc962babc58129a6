import Files
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

/// The real model against transformers: `Tests/Fixtures/models/smollm2.json`.
@Suite(
    "SmolLM2-135M-Instruct",
    .enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"))
struct SmolLM2Tests {
    private let golden = Result { try JSON(contentsOf: Locations.fixture("models/smollm2.json")) }

    @Test("from GGUF: token ids, log-likelihoods, prompts and greedy answers equal those of transformers")
    func fromGGUF() throws {
        let loaded = try ModelRegistry.load(#require(Locations.model))
        let tokenizer = try loaded.checkpoint.tokenizer()
        try checkTexts(loaded.model, tokenizer, weights: "gguf")
        let template = try ChatTemplate(#require(tokenizer.chatTemplate))
        let prompts = try golden.get()["prompts"]?.array ?? []
        for prompt in prompts {
            let messages = prompt["messages"]?.array ?? []
            let rendered = try template.render(messages: messages, addGenerationPrompt: true)
            #expect(rendered.text == prompt["rendered"]?.string)
            #expect(try tokenizer.encode(rendered.text) == ids(prompt["tokens"]))
        }
        let generator = Generator(loaded.model, stopTokens: [2])
        let answers = try generator.generate(
            prompts.map { ids($0["tokens"]) }, options: DecodingOptions(maximumTokens: 24))
        #expect(answers.count == 4)
        for (prompt, answer) in zip(prompts, answers) {
            #expect(answer.map(\.tokens) == [ids(prompt["greedy"]?["gguf"]?["tokens"])])
        }
    }

    @Test("as a Hugging Face folder in bf16, written here: the same as from the folder that transformers writes")
    func fromFolder() throws {
        let source = try ModelRegistry.load(#require(Locations.model))
        let folder = try TemporaryFolder().file("model")
        try writeHuggingFaceFolder(source, tokenizer: source.checkpoint.tokenizer(), to: folder, dtype: .bf16)
        let loaded = try ModelRegistry.load(folder)
        try checkTexts(loaded.model, loaded.checkpoint.tokenizer(), weights: "folder")
    }

    private func checkTexts(_ model: CausalLM, _ tokenizer: Tokenizer, weights: String) throws {
        let texts = try golden.get()["texts"]?.array ?? []
        #expect(texts.count == 5)
        for text in texts {
            let tokens = ids(text["tokens"])
            #expect(try tokenizer.encode(text["text"]?.string ?? "") == tokens)
            let nll = (text["nll"]?[weights]?.array ?? []).compactMap(\.number)
            let ours = logProbabilities(model, tokens).map { -Double($0) }
            #expect(distance(ours, nll, relative: 0, absolute: 1e-4) <= 1)
        }
    }

    private func ids(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.integer.map(Int32.init) } }
}
