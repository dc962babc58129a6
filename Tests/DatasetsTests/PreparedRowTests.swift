import Datasets
import Files
import Foundation
import TestSupport
import Testing
import Tokenizers

/// The tokenizer of the tiny models: byte-level, `<|im_start|>` its BOS, `<|im_end|>` its EOS, nothing added by a post-processor.
func tinyTokenizer() throws -> Tokenizer { try Tokenizer(file: Locations.fixture("models/tiny-llama/tokenizer.json")) }

/// Tokenises files without a cache.
func dataset(
    _ paths: [String], tokenizer: Tokenizer, template: String? = nil, trainOn: TrainOn? = nil, maxLength: Int = 1024,
    overflow: Overflow? = nil
) throws -> TokenizedDataset {
    try TokenizedDataset(
        sources: paths.map { DatasetSource($0) }, tokenizer: tokenizer,
        renderer: (template ?? tokenizer.chatTemplate).map { try ChatRenderer($0, tokenizer: tokenizer) },
        options: TokenizingOptions(trainOn: trainOn, maxLength: maxLength, overflow: overflow), cache: .none)
}

/// Rows as TRL's SFTTrainer prepares them, compared token by token and mask by mask.
@Suite struct PreparedRowTests {
    /// A run of the training goldens, and what asks for the same here.
    struct Run: Sendable, CustomTestStringConvertible {
        var name: String
        var trainOn: TrainOn?
        var template: String?
        var maxLength = 1024
        var testDescription: String { name + (template.map { " with \($0)" } ?? "") }
    }

    @Test(arguments: [
        Run(name: "tiny-assistant"), Run(name: "tiny-assistant", template: "training/tiny_training.jinja"),
        Run(name: "tiny-all", trainOn: .all), Run(name: "tiny-all-truncated", trainOn: .all, maxLength: 40),
        Run(name: "tiny-completion"), Run(name: "tiny-plain-completion"), Run(name: "tiny-text"),
    ])
    func equalsTRL(run: Run) throws {
        let golden = try JSON(contentsOf: Locations.fixture("training/\(run.name).json"))
        let rows = try #require(golden["settings"]?["rows"]?.string)
        let expected = try #require(golden["prepared"]?.array)
        let template = try run.template.map { try String(contentsOfFile: Locations.fixture($0), encoding: .utf8) }
        let dataset = try dataset(
            [Locations.fixture("training/" + rows)], tokenizer: tinyTokenizer(), template: template, trainOn: run.trainOn,
            maxLength: run.maxLength)
        #expect(dataset.count == expected.count && dataset.count == 24)
        for (index, row) in expected.enumerated() {
            let example = dataset[index]
            #expect(example.tokens == row["tokens"]?.array?.compactMap { $0.integer.map(Int32.init) })
            // A label on the first token means nothing: nothing stands before it.
            let trained = try #require(row["trained"]?.array).enumerated().map { $0 > 0 && $1.integer == 1 }
            #expect(example.isTarget == trained, "row \(index)")
            #expect(example.row == index)
        }
    }
}
