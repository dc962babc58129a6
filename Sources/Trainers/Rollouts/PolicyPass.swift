import Datasets
import Layers
import Models
import Tensors

/// The model that is trained by policy optimisation, and what it is compared with.
public struct Policy {
    /// Policy, reference and value head stand on this one model.
    public let model: CausalLM
    /// The policy's adapters.
    public let adapters: [String]
    /// The adapters of the reference model: none for the base.
    public let referenceAdapters: [String]
    /// Expects rewards, from the policy's hidden states; nil where no method asks for it.
    public let valueHead: ValueHead?
    /// Divides the logits, in decoding as in every probability.
    public let temperature: Double

    /// A policy.
    public init(
        _ model: CausalLM, adapters: [String], referenceAdapters: [String] = [], valueHead: ValueHead? = nil,
        temperature: Double = 1
    ) {
        precondition(temperature > 0, "a temperature of \(temperature)")
        self.model = model
        self.adapters = adapters
        self.referenceAdapters = referenceAdapters
        self.valueHead = valueHead
        self.temperature = temperature
    }
}

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
    init(_ policy: Policy, _ examples: [Example], _ makeContext: (SequenceLayout) -> ForwardContext) {
        let rows = TokenRows(examples)
        var context = makeContext(rows.layout)
        context.dropout = nil
        let states = policy.model.states(rows.tokens, context)
        let hidden: Tensor
        (scores, hidden) = policy.model.headScores(
            of: states, rows: rows.rows, targets: rows.targets, temperature: policy.temperature)
        expected = policy.valueHead.map { $0(hidden, context) }
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
    ///   - valueGradient: `∂loss / ∂v` likewise; not read where there is no value head.
    /// - Returns: the loss, a tensor of one element.
    func loss(_ value: Double, gradient: [[[Float]]], valueGradient: [[[Float]]]) -> Tensor {
        let policy = scores.loss(value, coefficients: flat(gradient))
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
