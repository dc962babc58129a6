import Datasets
import Layers
import Models
import Tensors

/// Prompts with answers as one flat row of tokens, of which the last of each answer is where its reward is read.
///
/// A prompt is shared as in ``TokenRows``; an answer is read to its end.
struct AnswerEnds {
    private(set) var tokens: [Int32] = []
    /// The row of each answer's last token, in order.
    private(set) var rows: [Int32] = []
    let layout: SequenceLayout

    init(_ examples: [Example]) {
        var sequences: [SequenceLayout.Sequence] = []
        for example in examples {
            let (boundary, parent, key) = (example.answers[0], tokens.count, example.row << 24)
            let shared = max(0, boundary - 1)
            var segments: [AttentionLayout.Segment] = []
            if shared > 0 {
                tokens += example.tokens[..<shared]
                sequences.append(.init(count: shared, row: key))
                segments = [.init(start: parent, count: shared)]
            }
            for answer in example.answers.indices {
                let read = example.tokens[shared..<boundary] + example.tokens[example.range(ofAnswer: answer)]
                precondition(!read.isEmpty, "an answer without a token, to a prompt without one")
                tokens += read
                rows.append(Int32(tokens.count - 1))
                sequences.append(.init(count: read.count, firstPosition: shared, row: key, segments: segments))
            }
        }
        layout = SequenceLayout(sequences)
    }
}

/// One forward pass of a reward model over prompts with answers.
struct RewardPass {
    /// By example and answer.
    let rewards: [[Double]]
    private let output: Tensor

    /// Runs the model over a batch, without dropout: a reward is a number, not a draw.
    init(_ model: CausalLM, _ examples: [Example], _ makeContext: (SequenceLayout) -> ForwardContext) {
        let ends = AnswerEnds(examples)
        var context = makeContext(ends.layout)
        context.dropout = nil
        output = model.rewards(ends.tokens, rows: ends.rows, context)
        var rest = output.values.map(Double.init)[...]
        rewards = examples.map { example in
            defer { rest = rest.dropFirst(example.answers.count) }
            return Array(rest.prefix(example.answers.count))
        }
    }

    /// A loss on the pass's tape.
    ///
    /// - Parameters:
    ///   - value: the loss.
    ///   - gradient: `∂loss / ∂reward`, by example and answer.
    /// - Returns: the loss, a tensor of one element.
    func loss(_ value: Double, gradient: [[Double]]) -> Tensor {
        output.loss(value, derivatives: gradient.flatMap { $0.map { Float($0) } })
    }
}

/// What a reward model makes of prompts with answers, without a tape.
public struct RewardScorer {
    private let model: CausalLM
    private let adapters: [String]
    private let tokensPerPass: Int

    /// Scores under `model`, which has a score head, with the named adapters active, so many tokens at a time.
    public init(_ model: CausalLM, adapters: [String], tokensPerPass: Int = Evaluator.tokensPerBatch) {
        self.model = model
        self.adapters = adapters
        self.tokensPerPass = tokensPerPass
    }

    /// The rewards by example and answer. A reward depends on its prompt and answer alone, to the bit.
    public func rewards(_ examples: [Example]) -> [[Double]] {
        examples.parts(ofTokens: tokensPerPass).flatMap { part in
            RewardPass(model, part) { ForwardContext($0, adapters: adapters) }.rewards
        }
    }
}
