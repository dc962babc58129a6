import Layers
import Tensors

/// A decoder with a head: next-token probabilities, or in a reward model a score of each sequence, or both.
public final class CausalLM: Module {
    /// How products are computed, in every pass of this model.
    public let precision: Precision
    /// The model's shape.
    public let configuration: DecoderConfiguration
    /// The trunk.
    public let model: DecoderModel
    /// The language-model head, `[vocabulary, hiddenSize]`; shares the embedding's parameter where the configuration ties them. A
    /// sequence classifier has none.
    public let head: Linear?
    /// The score head, `[1, hiddenSize]`, of a model that rewards; see ``addScoreHead()``.
    public internal(set) var scoreHead: Linear?

    /// Reads the weights: `model.…`, and `lm_head` where it is not tied; of a sequence classifier `score` instead.
    public init(
        _ source: any ParameterSource, _ configuration: DecoderConfiguration, precision: Precision = .f32,
        task: ModelTask = .languageModel
    ) throws {
        let scope = ParameterScope(source)
        self.precision = precision
        self.configuration = configuration
        model = try DecoderModel(scope["model"], configuration)
        switch task {
        case .sequenceClassification:
            head = nil
            scoreHead = try Linear(scope["score"], in: configuration.hiddenSize, out: 1)
        case .languageModel where configuration.tiesEmbeddings: head = Linear(weight: model.embeddingWeight)
        case .languageModel:
            head = try Linear(scope["lm_head"], in: configuration.hiddenSize, out: configuration.vocabularySize)
        }
    }

    /// The trunk and the heads.
    public var children: [(name: String, module: any Module)] {
        [("model", model)] + (head.map { [("lm_head", $0)] } ?? []) + (scoreHead.map { [("score", $0)] } ?? [])
    }

    /// The most tokens that a sequence may have: the model's context without the virtual tokens of attached adapters.
    public var longestSequence: Int { configuration.maximumPositions - virtualTokenCount(model.slot.names) }

    /// Scores tokens of a batch given those before them.
    ///
    /// - Parameters:
    ///   - tokens: the batch's T tokens, laid out as the context's layout says.
    ///   - rows: the rows whose next token is predicted; -1, where active adapters put virtual tokens before every sequence, for the last
    ///     of those.
    ///   - targets: that next token, one a row.
    ///   - coefficients: `cᵢ` of a loss `Σ cᵢ · log p(targetᵢ)`, one a row; nil for scores alone.
    ///   - context: of the forward pass.
    /// - Returns: the loss, on the context's tape, and each target's scores.
    public func score(
        _ tokens: [Int32], rows: [Int32], targets: [Int32], coefficients: [Float]? = nil, _ context: ForwardContext
    ) -> (loss: Tensor?, scores: TokenScores) {
        let (hidden, operands) = headInputs(states(tokens, context), rows: rows)
        return headCrossEntropy(hidden, head: operands, targets: targets, coefficients: coefficients)
    }

    /// Scores tokens of a batch for a loss that is a function of the scores.
    ///
    /// - Parameters:
    ///   - tokens: the batch's T tokens, laid out as the context's layout says.
    ///   - rows: the rows whose next token is predicted.
    ///   - targets: that next token, one a row.
    ///   - context: of the forward pass.
    /// - Returns: each target's scores, from which a loss on the context's tape can be made.
    public func headScores(
        _ tokens: [Int32], rows: [Int32], targets: [Int32], _ context: ForwardContext
    ) -> HeadScores {
        let (hidden, operands) = headInputs(states(tokens, context), rows: rows)
        return HeadScores(hidden, head: operands, targets: targets)
    }

    /// The logits `[rows, vocabulary]` of some rows of a batch: for generation, a few rows at a time.
    public func logits(_ tokens: [Int32], rows: [Int32], _ context: ForwardContext) -> Tensor {
        logits(of: states(tokens, context), rows: rows)
    }

    /// The hidden states of a batch, for ``logits(of:rows:)``.
    public func states(_ tokens: [Int32], _ context: ForwardContext) -> HiddenStates {
        model(tokens, context.computing(in: precision))
    }

    /// What the head says of the targets that follow some rows of a pass.
    ///
    /// - Parameters:
    ///   - states: of the pass.
    ///   - rows: the rows whose next token is predicted.
    ///   - targets: that next token, one a row.
    ///   - temperature: divides the logits.
    ///   - expectsEntropies: whether a loss will have a term in the entropies; see ``HeadScores``.
    /// - Returns: the scores, and the hidden states `[rows, hiddenSize]` that they are of.
    public func headScores(
        of states: HiddenStates, rows: [Int32], targets: [Int32], temperature: Double = 1,
        expectsEntropies: Bool = false
    ) -> (scores: HeadScores, hidden: Tensor) {
        let (hidden, operands) = headInputs(states, rows: rows)
        // A head has no bias: logits / T are those of hidden / T.
        let cooled = temperature == 1 ? hidden : hidden.scaled(by: Float(1 / temperature)).stored(as: hidden.dtype)
        let scores = HeadScores(cooled, head: operands, targets: targets, expectsEntropies: expectsEntropies)
        return (scores, hidden)
    }

    /// The logits `[rows, vocabulary]` of some rows of a pass.
    public func logits(of states: HiddenStates, rows: [Int32]) -> Tensor {
        let (hidden, operands) = headInputs(states, rows: rows)
        return operands(hidden, isDecoding: states.context.isDecoding)
    }

    private func headInputs(_ states: HiddenStates, rows: [Int32]) -> (hidden: Tensor, head: HeadProjection) {
        guard let head else { preconditionFailure("next tokens asked of a model that has a score head alone") }
        return (hidden(of: states, rows: rows), head.head(states.context, rows: states.places(of: rows)))
    }

    /// The hidden states `[rows, hiddenSize]` of some rows of a pass.
    public func hidden(of states: HiddenStates, rows: [Int32]) -> Tensor {
        gatherRows(states.values, states.places(of: rows), as: states.context.activations)
    }
}
