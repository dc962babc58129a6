import Datasets
import Files
import TestSupport
import Testing

@Suite struct StreamedBatchTests {
    private func stream(
        _ path: String, size: BatchSize, shuffle: Bool = true, seed: UInt64 = 1, accumulation: Int = 1
    ) throws -> StreamedBatches {
        try StreamedBatches(
            sources: [DatasetSource(path)], tokenizer: tinyTokenizer(), renderer: nil,
            options: TokenizingOptions(maxLength: 64), size: size, shuffle: shuffle, seed: seed,
            accumulation: accumulation)
    }

    private func file(_ count: Int, in folder: TemporaryFolder) throws -> String {
        try folder.write((0..<count).map { #"{"text": "row \#($0)"}"# + "\n" }.joined(), to: "a.jsonl")
    }

    @Test(arguments: [BatchSize.rows(7), .tokens(64)], [1, 999, 2500])
    func everyEpochHoldsEveryRowOnce(size: BatchSize, count: Int) throws {
        let folder = try TemporaryFolder()
        let path = try file(count, in: folder)
        let stream = try stream(path, size: size, accumulation: 3)
        let again = try self.stream(path, size: size, accumulation: 3)
        var rows: [[Int]] = [[], [], []]
        while stream.epoch < 2 || rows[2].isEmpty {
            let step = try stream.nextStep()
            #expect(try again.nextStep() == step)
            #expect((1...3).contains(step.count) && stream.epoch < 3)
            rows[stream.epoch] += step.flatMap { $0.examples.map(\.row) }
            if case .tokens(let budget) = size { #expect(step.allSatisfy { $0.tokenCount <= budget }) }
        }
        #expect(rows[0].sorted() == Array(0..<count) && rows[1].sorted() == Array(0..<count))
        if count > 1 { #expect(rows[0] != rows[1] && rows[0] != rows[0].sorted()) }
        #expect(stream.statistics.rows >= 2 * count)
    }

    @Test func unshuffledRowsKeepTheirOrderAcrossWindows() throws {
        let folder = try TemporaryFolder()
        let stream = try stream(file(2100, in: folder), size: .rows(9), shuffle: false)
        var rows: [Int] = []
        while rows.count < 2100 { rows += try stream.nextStep().flatMap { $0.examples.map(\.row) } }
        #expect(rows == Array(0..<2100))
    }

    @Test func faultsReachTheReader() throws {
        let folder = try TemporaryFolder()
        let bad = try folder.write(#"{"text": "fine"}"# + "\nnonsense\n", to: "a.jsonl")
        let error = #expect(throws: InputError.self) { try stream(bad, size: .rows(1)).nextStep() }
        #expect(error?.place == "line 2: byte 1")
        let empty = try folder.write("\n", to: "b.jsonl")
        #expect(throws: InputError.self) { try stream(empty, size: .rows(1)).nextStep() }
        let short = try folder.write(#"{"text": ""}"#, to: "c.jsonl")
        // One token, the appended end of sequence: nothing to predict in the whole epoch.
        #expect(throws: InputError.self) { try stream(short, size: .rows(1)).nextStep() }
    }

    @Test func weightsAndSmallBudgetsAreRefused() throws {
        let folder = try TemporaryFolder()
        let path = try file(3, in: folder)
        #expect(throws: InputError.self) { try stream(path, size: .tokens(10)) }
        #expect(throws: InputError.self) {
            try StreamedBatches(
                sources: [DatasetSource(path, weight: 2)], tokenizer: tinyTokenizer(), renderer: nil,
                options: TokenizingOptions(), size: .rows(1), seed: 1)
        }
    }
}
