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
            [Locations.fixture("training/" + rows)], tokenizer: tinyTokenizer(), template: template,
            trainOn: run.trainOn,
            maxLength: run.maxLength)
        #expect(expected.count == 24)
        try compare(dataset, expected)
        #expect((0..<dataset.count).map { dataset[$0].row } == Array(0..<24))
    }

    /// Boundaries where tokens merge, ends that are there already, answers cut away, with a tokenizer that adds BOS and one that does not.
    @Test(arguments: ["plain", "text", "chat", "chat-completion"])
    func hardBoundariesEqualTRL(name: String) throws {
        let golden = try JSON(contentsOf: Locations.fixture("datasets/\(name).json"))
        let runs = try #require(golden["runs"]?.array)
        #expect(runs.count == 4)
        for run in runs {
            let tokenizer =
                run["tokenizer"]?.string == "bos"
                ? try Tokenizer(file: Locations.fixture("datasets/bos-tokenizer/tokenizer.json")) : try tinyTokenizer()
            let dataset = try dataset(
                [Locations.fixture("datasets/\(name).jsonl")], tokenizer: tokenizer,
                trainOn: name == "chat" ? .all : nil,
                maxLength: try #require(run["max_length"]?.integer), overflow: .truncate)
            try compare(dataset, try #require(run["prepared"]?.array))
            #expect(dataset.statistics.doubleBOSRows == 0)
        }
    }

    private func compare(_ dataset: TokenizedDataset, _ expected: [JSON]) throws {
        #expect(dataset.count == expected.count)
        for (index, row) in expected.enumerated() where index < dataset.count {
            let example = dataset[index]
            #expect(example.tokens == row["tokens"]?.array?.compactMap { $0.integer.map(Int32.init) }, "row \(index)")
            // A label on the first token means nothing: nothing stands before it.
            let trained = try #require(row["trained"]?.array).enumerated().map { $0 > 0 && $1.integer == 1 }
            #expect(example.isTarget == trained, "row \(index)")
        }
    }
}
