import Datasets
import Files
import Foundation
import Layers
import Models
import TestSupport
import Testing
import Trainers

@Suite("Evaluation") struct EvaluationTests {
    @Test("the error of a mean over tokens comes from the spread between rows")
    func clusteredError() {
        // Mean 18 / 6 = 3. Residuals of the rows: 6 - 3 · 3 = -3, 2 - 3 = -1, 10 - 2 · 3 = 4.
        let result = EvaluationResult(rows: [(6, 3), (2, 1), (10, 2)], skipped: 2)
        #expect(result.nll == 3 && result.tokens == 6 && result.rows == 3 && result.skipped == 2)
        #expect(isClose(result.nllStandardError, (26.0 * 3 / 2).squareRoot() / 6, relative: 1e-12, absolute: 0))
        #expect(isClose(result.perplexity, exp(3), relative: 1e-12, absolute: 0))
        #expect(
            isClose(result.perplexityStandardError, exp(3) * result.nllStandardError, relative: 1e-12, absolute: 0))
    }

    @Test("rows of one length give the textbook error of a mean")
    func equalRows() {
        let means = [1.0, 2, 4, 5]
        let result = EvaluationResult(rows: means.map { ($0 * 7, 7) }, skipped: 0)
        let variance = means.reduce(0) { $0 + ($1 - 3) * ($1 - 3) } / 3
        #expect(isClose(result.nllStandardError, (variance / 4).squareRoot(), relative: 1e-12, absolute: 0))
    }

    @Test("without rows, or with one, what is unknown is null in JSON")
    func unknown() {
        let none = EvaluationResult(rows: [], skipped: 3).json
        #expect(none["nll"] == nil && none["perplexity"] == nil && none["skipped"]?.integer == 3)
        let one = EvaluationResult(rows: [(4, 2)], skipped: 0).json
        #expect(one["nll"]?.number == 2 && one["nll_standard_error"] == nil)
    }

    @Test("pieces of one row are one row, and rows without a target are skipped and counted")
    func windows() {
        func example(_ row: Int, start: Int = 0, trained: Bool = true) -> Example {
            Example(tokens: [1, 2, 3], isTarget: [false, trained, trained], row: row, start: start)
        }
        let examples = [example(4), example(4, start: 3), example(9), example(11, trained: false)]
        let result = Evaluator.result([[-1, -2], [-3, -4], [-5, -6], []], of: examples, skipped: 1)
        #expect(result == EvaluationResult(rows: [(10, 4), (11, 2)], skipped: 2))
    }

    @Test("scores are those of the golden log-probabilities, in order, whatever is in the batch")
    func scores() throws {
        let model = try TinyRun.model()
        let golden = try JSON(contentsOf: Locations.fixture("models/tiny-llama/golden.json"))["sequences"]?.array ?? []
        let examples = golden.enumerated().map { row, sequence in
            let tokens = (sequence["tokens"]?.array ?? []).compactMap { $0.integer.map(Int32.init) }
            return Example(tokens: tokens, isTarget: [false] + tokens.dropFirst().map { _ in true }, row: row)
        }
        let evaluator = Evaluator(model, adapters: [])
        let scores = evaluator.logProbabilities(examples)
        #expect(scores.count == 4)
        for (scores, sequence) in zip(scores, golden) {
            let expected = (sequence["logprobs"]?.array ?? []).compactMap(\.number)
            #expect(distance(scores.map(Double.init), expected, relative: 0, absolute: 2e-5) <= 1)
        }
        for (example, scores) in zip(examples, scores) {
            #expect(evaluator.logProbabilities([example]) == [scores])
        }
    }
}
