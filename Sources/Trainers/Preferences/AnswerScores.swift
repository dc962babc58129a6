import Datasets
import Layers
import Models
import Tensors

/// What the models say of one answer, token by token: all that a preference loss is a function of.
public struct AnswerScores: Sendable {
    /// `log p(token)` of the model that is trained.
    public var policy: [Float]
    /// The same of the reference model; empty where there is none.
    public var reference: [Float]
    /// The entropy of each next-token distribution, in nats.
    public var entropies: [Float] = []
    /// 1 where the token is the most probable one, else 0.
    public var hits: [Float] = []
    /// The mean of each token's logits.
    public var meanLogits: [Float] = []
    /// `log Σ p²` of each next-token distribution.
    public var logSumSquares: [Float] = []

    /// Makes scores.
    public init(
        policy: [Float], reference: [Float] = [], entropies: [Float] = [], hits: [Float] = [], meanLogits: [Float] = [],
        logSumSquares: [Float] = []
    ) {
        precondition(
            reference.isEmpty || reference.count == policy.count,
            "\(policy.count) tokens, \(reference.count) of the reference")
        self.policy = policy
        self.reference = reference
        self.entropies = entropies
        self.hits = hits
        self.meanLogits = meanLogits
        self.logSumSquares = logSumSquares
    }

    /// The number of tokens.
    public var count: Int { policy.count }
}

extension Sequence where Element == Float {
    /// The sum, in f64.
    var total: Double { reduce(0.0) { $0 + Double($1) } }
}

/// One forward pass over prompts with answers, of which a loss can be made.
struct AnswerPass {
    /// By example and answer.
    let answers: [[AnswerScores]]
    /// By example: `log p` of the prompt's tokens, all but the first; empty unless asked for.
    let prompts: [[Float]]
    private let rows: TokenRows
    private let scores: HeadScores

    /// Runs the model over a batch, without dropout: the losses compare with a model that has none.
    ///
    /// - Parameters:
    ///   - model: the model that is trained.
    ///   - examples: prompts with answers.
    ///   - reference: `log p` of each target under the reference, by example and answer; nil for none.
    ///   - scoresPrompts: whether the prompts' tokens are scored too.
    ///   - makeContext: the context of a forward pass over a layout.
    init(
        _ model: CausalLM, _ examples: [Example], reference: [[[Float]]]?, scoresPrompts: Bool = false,
        _ makeContext: (SequenceLayout) -> ForwardContext
    ) {
        rows = TokenRows(examples, scoresPrompts: scoresPrompts)
        var context = makeContext(rows.layout)
        context.dropout = nil
        scores = model.headScores(rows.tokens, rows: rows.rows, targets: rows.targets, context)
        let all = scores.scores
        answers = rows.answers.enumerated().map { example, ranges in
            ranges.enumerated().map { answer, range in
                AnswerScores(
                    policy: Array(all.logProbabilities[range]), reference: reference?[example][answer] ?? [],
                    entropies: Array(all.entropies[range]), hits: Array(all.hits[range]),
                    meanLogits: Array(all.meanLogits[range]), logSumSquares: Array(all.logSumSquares[range]))
            }
        }
        prompts = rows.prompts.map { Array(all.logProbabilities[$0]) }
    }

    /// The loss on the pass's tape.
    ///
    /// - Parameters:
    ///   - value: the loss.
    ///   - gradient: `∂loss / ∂ log p` of each token, by example and answer.
    ///   - promptGradient: the same for the prompts' tokens, by example; nil for zeros.
    /// - Returns: the loss, a tensor of one element.
    func loss(_ value: Double, gradient: [[[Float]]], promptGradient: [[Float]]? = nil) -> Tensor {
        var coefficients = [Float](repeating: 0, count: rows.targets.count)
        for (example, ranges) in rows.answers.enumerated() {
            for (answer, range) in ranges.enumerated() {
                coefficients.replaceSubrange(range, with: gradient[example][answer])
            }
            if let promptGradient { coefficients.replaceSubrange(rows.prompts[example], with: promptGradient[example]) }
        }
        return scores.loss(value, coefficients: coefficients)
    }
}
