import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

/// The real model under `precision: bf16` against f32, on our own conversations.
@Suite(
    "SmolLM2 in bf16",
    .enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"))
struct PrecisionTests {
    @Test("predicts the same next token 98 times of 100 over 2,000 tokens")
    func nextTokens() throws {
        let (full, half, tokenizer) = try models()
        let texts = try conversations().compactMap { $0.last?["content"]?.string }
        var sequences: [[Int32]] = []
        for text in texts where sequences.reduce(0, { $0 + $1.count }) < 2000 {
            sequences.append(try tokenizer.encode(text))
        }
        let expected = nextTokens(full, sequences)
        let found = nextTokens(half, sequences)
        #expect(expected.count >= 2000 && expected.count == found.count)
        let same = zip(expected, found).count { $0 == $1 }
        #expect(Double(same) >= 0.98 * Double(expected.count), "\(same) of \(expected.count)")
        #expect(same < expected.count, "bf16 rounds nothing")
    }

    @Test("answers 24 of 32 prompts alike for 32 greedy tokens")
    func greedyAnswers() throws {
        let (full, half, tokenizer) = try models()
        let template = try ChatTemplate(#require(tokenizer.chatTemplate))
        let prompts = try conversations().prefix(32).map {
            try tokenizer.encode(template.render(messages: Array($0.prefix(1)), addGenerationPrompt: true).text)
        }
        var options = DecodingOptions(maximumTokens: 32)
        options.minimumTokens = 32
        let answers = try [full, half].map { try Generator($0, stopTokens: [2]).generate(prompts, options: options) }
        let same = zip(answers[0], answers[1]).count { $0 == $1 }
        #expect(same >= 24, "\(same) of \(prompts.count)")
    }

    private func models() throws -> (full: CausalLM, half: CausalLM, tokenizer: Tokenizer) {
        let path = try #require(Locations.model)
        let full = try ModelRegistry.load(path)
        let half = try ModelRegistry.load(path, weights: .bf16, precision: .bf16)
        return (full.model, half.model, try full.checkpoint.tokenizer())
    }

    private func conversations() throws -> [[JSON]] {
        let lines = try String(contentsOfFile: Locations.inRepository("Datasets/chat/data.jsonl"), encoding: .utf8)
        return try lines.split(separator: "\n").map { try JSON(parsing: String($0))["messages"]?.array ?? [] }
    }

    /// The most probable token after each token of some sequences.
    private func nextTokens(_ model: CausalLM, _ sequences: [[Int32]]) -> [Int] {
        sequences.flatMap { tokens -> [Int] in
            let rows = tokens.indices.map(Int32.init)
            let logits = model.logits(tokens, rows: rows, ForwardContext(SequenceLayout([.init(count: tokens.count)])))
            return (0..<logits.rows).map { row in
                logits[rows: row..<row + 1].withFloats { $0.firstIndex(of: $0.max() ?? 0) ?? 0 }
            }
        }
    }
}
