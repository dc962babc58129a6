import Datasets
import Files
import TestSupport
import Testing
import Tokenizers

@Suite struct InspectionTests {
    private func inspect(
        _ rows: String, template: String? = nil, trainOn: TrainOn? = nil, maxLength: Int = 1024
    ) throws -> Inspection {
        let folder = try TemporaryFolder()
        let tokenizer = try tinyTokenizer()
        let dataset = try dataset(
            [folder.write(rows, to: "a.jsonl")], tokenizer: tokenizer, template: template, trainOn: trainOn,
            maxLength: maxLength)
        let plan = dataset.count > 0 ? try dataset.plan(size: .tokens(maxLength), seed: 1) : nil
        return Inspection(dataset, tokenizer: tokenizer, plan: plan, rows: 5)
    }

    private let chat =
        #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"# + "\n"

    @Test func goodRowsShowWhatIsTrained() throws {
        let inspection = try inspect(chat + chat)
        #expect(inspection.problems == [])
        #expect(inspection.rows.map(\.row) == [0, 1])
        #expect(
            inspection.rows[0].segments == [
                .init(text: "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", isTrained: false),
                .init(text: "Ho<|im_end|>", isTrained: true), .init(text: "\n", isTrained: false),
            ])
        #expect(inspection.statistics.turnEndingShare == 1)
        let row = inspection.rows[0]
        #expect(inspection.statistics.trainedShare == Double(row.trainedTokens) / Double(row.tokens - 1))
        #expect(inspection.batches == 1 && inspection.packingEfficiency == Double(2 * row.tokens) / 1024)
    }

    @Test func unfitDataIsAProblem() throws {
        let nobody = #"{"messages": [{"role": "user", "content": "Hi"}]}"#
        #expect(try inspect(nobody).problems == ["no token is trained: all 1 rows are dropped (1 no trained token)"])
        let everything =
            "{% for m in messages %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endfor %}"
        let answer = #"{"messages": [{"role": "assistant", "content": "Ho"}]}"#
        #expect(try inspect(answer, template: everything).problems.map { $0.prefix(22) } == ["every token is trained"])
        let endless = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
        #expect(try inspect(chat, template: endless).problems.map { $0.prefix(12) } == ["no row train"])
        // Cut before its end, the row cannot teach one.
        #expect(try inspect(chat.replacing("Ho", with: "Ho ho ho ho ho ho"), maxLength: 22).problems.count == 1)
    }

    @Test func textIsTrainedThroughoutByDesign() throws {
        let inspection = try inspect(#"{"text": "all of it"}"#)
        #expect(inspection.problems == [] && inspection.statistics.trainedShare == 1)
        #expect(inspection.rows[0].segments.last == .init(text: "ll of it<|im_end|>", isTrained: true))
    }
}
