import Datasets
import Files
import TestSupport
import Testing
import Tokenizers

@Suite struct EvaluationRowTests {
    private func read(
        _ rows: String, maxLength: Int = 1024, stride: Int? = nil, trainOn: TrainOn? = nil, bos: Bool = false
    ) throws -> EvaluationRows {
        let folder = try TemporaryFolder()
        let tokenizer = try Tokenizer(
            file: Locations.fixture(bos ? "datasets/bos-tokenizer/tokenizer.json" : "models/tiny-llama/tokenizer.json"))
        return try EvaluationRows(
            DatasetSource(folder.write(rows, to: "a.jsonl")), tokenizer: tokenizer,
            renderer: tokenizer.chatTemplate.map { try ChatRenderer($0, tokenizer: tokenizer) }, maxLength: maxLength,
            stride: stride, trainOn: trainOn)
    }

    @Test func textIsScoredAsItStands() throws {
        let tokenizer = try tinyTokenizer()
        let rows = try read(#"{"text": "A line of words"}"# + "\n" + #"{"text": "x"}"# + "\n" + #"{"text": ""}"#)
        #expect(rows.rows == 1 && rows.skipped == 2)
        #expect(try rows.examples.map(\.tokens) == [tokenizer.encode("A line of words")])
        #expect(rows.examples[0].isTarget == [false] + Array(repeating: true, count: rows.examples[0].tokens.count - 1))
    }

    @Test func aBOSThatThePostProcessorAddsCounts() throws {
        let rows = try read(#"{"text": "abc"}"# + "\n" + #"{"text": "x"}"#, maxLength: 2, bos: true)
        #expect(rows.rows == 2 && rows.skipped == 0)
        #expect(rows.examples.map(\.tokens.count) == [2, 2] && rows.examples.allSatisfy { $0.tokens[0] == 0 })
        #expect(rows.truncatedTokens > 0)
    }

    @Test func nothingIsAppendedToCompletions() throws {
        let tokenizer = try tinyTokenizer()
        let rows = try read(#"{"prompt": "Two and", "completion": " two."}"#)
        #expect(try rows.examples[0].tokens == tokenizer.encode("Two and two."))
    }

    @Test func conversationsAreTemplatedAndMasked() throws {
        let row = #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"#
        let assistant = try read(row).examples[0]
        let all = try read(row, trainOn: .all).examples[0]
        #expect(assistant.tokens == all.tokens)
        #expect(assistant.targetCount < all.targetCount && all.targetCount == all.tokens.count - 1)
    }

    @Test(arguments: [(10, 1), (10, 5), (10, 9), (7, 3), (1000, 10)])
    func windowsScoreEachTokenOnce(length: Int, stride: Int) throws {
        let text = (0..<60).map { "w\($0)" }.joined(separator: " ")
        let whole = try read(#"{"text": "\#(text)"}"#).examples[0]
        let rows = try read(#"{"text": "\#(text)"}"#, maxLength: length, stride: stride)
        var scored = [Int](repeating: 0, count: whole.tokens.count)
        for window in rows.examples {
            #expect(window.tokens.count <= length && window.row == 0)
            #expect(window.tokens == Array(whole.tokens[window.start..<window.start + window.tokens.count]))
            for (offset, isTarget) in window.isTarget.enumerated() where isTarget {
                scored[window.start + offset] += 1
                #expect(window.start == 0 || offset >= length - stride)
            }
        }
        #expect(scored == [0] + Array(repeating: 1, count: whole.tokens.count - 1))
        #expect(rows.rows == 1 && rows.truncatedTokens == 0)
    }

    @Test func impossibleSettingsAreRefused() {
        for (length, stride) in [(1, nil), (10, 0), (10, 10), (10, -1)] as [(Int, Int?)] {
            #expect(throws: InputError.self) { try read(#"{"text": "abc"}"#, maxLength: length, stride: stride) }
        }
        #expect(throws: InputError.self) { try read("") }
    }
}
