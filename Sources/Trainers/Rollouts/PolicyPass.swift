import Datasets
import Layers
import Models
import Tensors

/// One forward pass of the policy over prompts with answers.
struct PolicyPass {
    /// Of the answers' tokens, by example and answer: `log p` of the full softmax at the policy's temperature.
    let logProbabilities: [[[Float]]]
    /// The entropy of each next-token distribution, likewise.
    let entropies: [[[Float]]]
    /// What the value head expects before each token, likewise; empty where there is none.
    let values: [[[Float]]]
    private let rows: TokenRows
    private let scores: HeadScores
    private let expected: Tensor?

    /// Runs the policy without dropout: its probabilities are compared with those of the same weights.
    ///
    /// - Parameters:
    ///   - policy: what runs.
    ///   - examples: prompts with answers.
    ///   - sharedPrefix: tokens that all prompts of the run begin with, the same in every pass: where a row's keys are cut changes bits.
    ///   - expectsEntropies: whether the loss will have a term in the entropies.
    ///   - makeContext: the context of a forward pass over a layout.
    init(
        _ policy: Policy, _ examples: [Example], sharedPrefix: Int, expectsEntropies: Bool = false,
        _ makeContext: (SequenceLayout) -> ForwardContext
    ) {
        let rows = TokenRows(examples, sharedPrefix: sharedPrefix)
        var context = makeContext(rows.layout)
        context.dropout = nil
        let states = policy.model.states(rows.tokens, context)
        let hidden: Tensor
        (scores, hidden) = policy.model.headScores(
            of: states, rows: rows.rows, targets: rows.targets, temperature: policy.temperature,
            expectsEntropies: expectsEntropies)
        expected = policy.critic.map { $0.values(rows, policyHidden: hidden, of: policy.model, context) }
        func byAnswer(_ numbers: [Float]) -> [[[Float]]] { rows.answers.map { $0.map { Array(numbers[$0]) } } }
        logProbabilities = byAnswer(scores.scores.logProbabilities)
        entropies = byAnswer(scores.scores.entropies)
        values = expected.map { byAnswer($0.withFloats { Array($0) }) } ?? []
        self.rows = rows
    }

    /// A loss on the pass's tape.
    ///
    /// - Parameters:
    ///   - value: the loss.
    ///   - gradient: `∂loss / ∂ log p` of each token, by example and answer.
    ///   - entropyGradient: `∂loss / ∂H` likewise; answers of none where the loss has no such term.
    ///   - valueGradient: `∂loss / ∂v` likewise; not read where there is no value head.
    /// - Returns: the loss, a tensor of one element.
    func loss(
        _ value: Double, gradient: [[[Float]]], entropyGradient: [[[Float]]], valueGradient: [[[Float]]]
    ) -> Tensor {
        let hasEntropies = entropyGradient.contains { $0.contains { !$0.isEmpty } }
        let policy = scores.loss(
            value, coefficients: flat(gradient), entropyCoefficients: hasEntropies ? flat(entropyGradient) : [])
        guard let expected else { return policy }
        return policy + expected.loss(0, derivatives: flat(valueGradient))
    }

    private func flat(_ numbers: [[[Float]]]) -> [Float] {
        var result = [Float](repeating: 0, count: rows.targets.count)
        for (ranges, numbers) in zip(rows.answers, numbers) {
            for (range, numbers) in zip(ranges, numbers) { result.replaceSubrange(range, with: numbers) }
        }
        return result
    }
}
