import Files
import Models
import Tensors
import TestSupport
import Testing

/// The real model against transformers: `Tests/Fixtures/models/smollm2.json`.
@Suite(
    "SmolLM2-135M-Instruct",
    .enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"))
struct SmolLM2Tests {
    @Test("log-likelihoods and greedy answers equal those of transformers")
    func golden() throws {
        let loaded = try ModelRegistry.load(#require(Locations.model))
        let golden = try JSON(contentsOf: Locations.fixture("models/smollm2.json"))
        for text in golden["texts"]?.array ?? [] {
            let tokens = ids(text["tokens"])
            let nll = (text["nll"]?["gguf"]?.array ?? []).compactMap(\.number)
            let ours = logProbabilities(loaded.model, tokens).map { -Double($0) }
            #expect(distance(ours, nll, relative: 0, absolute: 1e-4) <= 1)
        }
        let generator = Generator(loaded.model, stopTokens: [2])
        let prompts = golden["prompts"]?.array ?? []
        let answers = try generator.generate(prompts.map { ids($0["tokens"]) }, maximumTokens: 24)
        #expect(answers.count == 4)
        for (prompt, answer) in zip(prompts, answers) { #expect(answer == ids(prompt["greedy"]?["gguf"]?["tokens"])) }
    }

    private func ids(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.integer.map(Int32.init) } }
}
