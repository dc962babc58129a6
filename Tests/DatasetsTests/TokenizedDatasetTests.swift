import Datasets
import Files
import Foundation
import TestSupport
import Testing
import Tokenizers

private func lines(_ count: Int, _ word: String = "line") -> String {
    (0..<count).map { #"{"text": "\#(word) \#($0)"}"# + "\n" }.joined()
}

@Suite struct TokenizedDatasetTests {
    private func read(
        _ sources: [DatasetSource], _ options: TokenizingOptions = TokenizingOptions(), cache: CachePolicy = .none
    ) throws -> TokenizedDataset {
        try TokenizedDataset(
            sources: sources, tokenizer: tinyTokenizer(), renderer: nil, options: options, cache: cache)
    }

    @Test func rowsKeepTheirOrderAcrossSourcesAndThreads() throws {
        let folder = try TemporaryFolder()
        let sources = [
            DatasetSource(try folder.write(lines(1300), to: "a.jsonl")),
            DatasetSource(try folder.write(lines(7, "other"), to: "b.jsonl"), weight: 3),
        ]
        let dataset = try read(sources)
        let tokenizer = try tinyTokenizer()
        #expect(dataset.count == 1307)
        for index in [0, 511, 512, 1299, 1300, 1306] {
            let text = index < 1300 ? "line \(index)" : "other \(index - 1300)"
            #expect(tokenizer.decode(dataset[index].tokens, skipSpecialTokens: true) == text)
            #expect(dataset[index].row == index && dataset[index].start == 0)
            #expect(dataset.lengths[index] == dataset[index].tokens.count)
        }
        #expect(dataset.parts.map(\.examples) == [Array(0..<1300), Array(1300..<1307)])
        #expect(dataset.parts.map(\.weight) == [1, 3])
        #expect(try dataset.plan(size: .rows(1), seed: 1).rowsPerEpoch == 1321)
    }

    @Test func theFirstBadRowIsNamed() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(lines(600) + "{}\n" + lines(20) + "nonsense\n", to: "a.jsonl")
        let error = #expect(throws: InputError.self) { try read([DatasetSource(path)]) }
        #expect(error?.place == "line 601" && error?.file == path)
    }

    @Test(arguments: [0, -1, .nan, .infinity, 1e300])
    func impossibleWeightsAreRefused(weight: Double) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(lines(3), to: "a.jsonl")
        #expect(throws: InputError.self) { try read([DatasetSource(path, weight: weight)]) }
    }

    @Test(arguments: ["", "\n\n", "[]"])
    func emptyDatasetsAreRefused(text: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(text, to: "a.json")
        let error = #expect(throws: InputError.self) { try read([DatasetSource(path)]) }
        #expect(error?.message == "the dataset is empty" && error?.file == path)
    }

    // MARK: - Length

    private static let long = #"{"prompt": "0123456789", "completion": "abcdefghij"}"# + "\n"

    @Test func overflowIsCounted() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(Self.long + #"{"prompt": "a", "completion": "b"}"#, to: "a.jsonl")
        let full = try self.read([DatasetSource(path)])[0]
        let count = full.tokens.count
        let boundary = try #require(full.isTarget.firstIndex(of: true))
        let limit = count - 2
        func read(_ overflow: Overflow, _ limit: Int) throws -> TokenizedDataset {
            try self.read([DatasetSource(path)], TokenizingOptions(maxLength: limit, overflow: overflow))
        }
        let truncated = try read(.truncate, limit)
        #expect(truncated[0].tokens == Array(full.tokens[..<limit]))
        #expect(truncated.statistics.truncatedRows == 1 && truncated.statistics.truncatedTokens == 2)
        #expect(truncated.statistics.truncatedTrainedTokens == 2)
        let cutAway = try read(.truncate, boundary)
        #expect(cutAway.count == 1 && cutAway.statistics.droppedRows == [.nothingTrainedAfterTruncation: 1])
        #expect(cutAway.statistics.droppedTokens == count && cutAway.statistics.truncatedRows == 0)
        let dropped = try read(.drop, limit)
        #expect(dropped.count == 1 && dropped.statistics.droppedRows == [.tooLong: 1] && dropped[0].row == 1)
        let error = #expect(throws: InputError.self) { try read(.error, limit) }
        #expect(error?.place == "line 1" && error?.message == "the row has \(count) tokens, max_length is \(limit)")
        let split = try read(.split, boundary)
        #expect(split.statistics.splitRows == 1)
        #expect(split.statistics.splitTokensLeftOut == boundary)
        #expect(split[0].row == 0 && split[0].start == boundary && split[0].isTarget.first == false)
        #expect(split[0].tokens == Array(full.tokens[boundary..<min(2 * boundary, count)]))
    }

    @Test func textIsSplitByDefault() throws {
        let folder = try TemporaryFolder()
        let text = String(repeating: "word ", count: 100)
        let path = try folder.write(#"{"text": "\#(text)"}"#, to: "a.jsonl")
        let whole = try read([DatasetSource(path)])[0]
        let pieces = try read([DatasetSource(path)], TokenizingOptions(maxLength: 30))
        #expect((0..<pieces.count).flatMap { pieces[$0].tokens } == whole.tokens)
        #expect((0..<pieces.count).allSatisfy { pieces[$0].start == $0 * 30 && pieces[$0].row == 0 })
        #expect(pieces.statistics.turnEndingRows == 1 && pieces.statistics.splitRows == 1)
    }

    // MARK: - Hold-out

    @Test func aShareIsHeldOutBySeed() throws {
        let folder = try TemporaryFolder()
        let dataset = try read([DatasetSource(folder.write(lines(100), to: "a.jsonl"))])
        func rows(_ dataset: TokenizedDataset) -> [Int] { (0..<dataset.count).map { dataset[$0].row } }
        let (train, evaluation) = try dataset.split(evaluation: 0.05, seed: 42)
        #expect(train.count == 95 && evaluation.count == 5)
        #expect((rows(train) + rows(evaluation)).sorted() == Array(0..<100))
        #expect(rows(try dataset.split(evaluation: 0.05, seed: 42).evaluation) == rows(evaluation))
        #expect(rows(try dataset.split(evaluation: 0.05, seed: 43).evaluation) != rows(evaluation))
        // A larger share holds out the same rows and more.
        #expect(Set(rows(evaluation)).isSubset(of: rows(try dataset.split(evaluation: 0.2, seed: 42).evaluation)))
        #expect(try dataset.split(evaluation: 0.0001, seed: 1).evaluation.count == 1)
        #expect(try dataset.split(evaluation: 0.9999, seed: 1).train.count == 1)
        #expect(train.parts[0].examples == Array(0..<95))
    }

    @Test func oneRowCannotBeDivided() throws {
        let folder = try TemporaryFolder()
        let dataset = try read([DatasetSource(folder.write(lines(1), to: "a.jsonl"))])
        #expect(throws: InputError.self) { try dataset.split(evaluation: 0.5, seed: 1) }
    }

    /// The pieces of a split row stay on one side.
    @Test func rowsAreHeldOutWhole() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(lines(40, String(repeating: "word ", count: 20)), to: "a.jsonl")
        let dataset = try read([DatasetSource(path)], TokenizingOptions(maxLength: 16))
        let (train, evaluation) = try dataset.split(evaluation: 0.25, seed: 3)
        let held = Set((0..<evaluation.count).map { evaluation[$0].row })
        #expect(held.count == 10 && evaluation.count > 10)
        #expect((0..<train.count).allSatisfy { !held.contains(train[$0].row) })
    }

    // MARK: - Cache

    @Test func cachedRowsAreTheSame() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(lines(300), to: "a.jsonl")
        let cache = folder.file("cache")
        func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: cache).sorted() }
        func examples(_ options: TokenizingOptions = TokenizingOptions()) throws -> [Example] {
            let dataset = try read([DatasetSource(path)], options, cache: .folder(cache))
            #expect(dataset.notes.isEmpty && dataset.statistics.rows == 300)
            return (0..<dataset.count).map { dataset[$0] }
        }
        let fresh = try examples()
        #expect(try files().count == 1)
        #expect(try examples() == fresh && files().count == 1)
        // Any option, and any byte of the file, is part of the key.
        _ = try examples(TokenizingOptions(maxLength: 8))
        #expect(try files().count == 2)
        try folder.write(lines(299) + #"{"text": "changed"}"#, to: "a.jsonl")
        #expect(try examples().last != fresh.last)
        #expect(try files().count == 3)
    }

    @Test func aDamagedCacheIsRebuilt() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(lines(300), to: "a.jsonl")
        func examples() throws -> [Example] {
            let dataset = try read([DatasetSource(path)], cache: .folder(folder.file("cache")))
            return (0..<dataset.count).map { dataset[$0] }
        }
        let fresh = try examples()
        let name = try #require(FileManager.default.contentsOfDirectory(atPath: folder.file("cache")).first)
        let whole = try Data(contentsOf: URL(filePath: folder.file("cache/" + name)))
        var flipped = whole
        flipped[whole.count / 2] ^= 1
        for damaged in [Data(), whole.prefix(3), whole.prefix(whole.count - 1), flipped, Data(count: 100), whole + [0]]
        {
            try folder.write(Array(damaged), to: "cache/" + name)
            #expect(try examples() == fresh)
            #expect(try Data(contentsOf: URL(filePath: folder.file("cache/" + name))) == whole)
        }
    }

    @Test func aCacheThatCannotBeWrittenIsANote() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(lines(3), to: "a.jsonl")
        let dataset = try read([DatasetSource(path)], cache: .folder(path + "/cache"))
        #expect(dataset.count == 3 && dataset.notes.count == 1)
    }
}
