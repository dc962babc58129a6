import Files
import Layers
import Tensors

/// What the head of a model says: transformers' `ForCausalLM` and `ForSequenceClassification`.
public enum ModelTask: Hashable, Sendable {
    /// Which token comes next.
    case languageModel
    /// How good a sequence is: one number. Where the files have no score head, it is drawn under the seed; with none given, that is an
    /// error.
    case sequenceClassification(seed: UInt64?)

    /// The score head's parameter.
    static let scoreName = "score.weight"
}

extension Checkpoint {
    /// Whether it is a sequence classifier: a reward model in transformers' words.
    public var isSequenceClassifier: Bool {
        (configuration["architectures"]?.array ?? []).contains {
            $0.string?.hasSuffix("ForSequenceClassification") == true
        }
    }

    /// Fails where it cannot be loaded for a task.
    ///
    /// - Throws: ``InputError`` for a classifier where next tokens are asked for, and for one with another number of labels than one.
    func check(_ task: ModelTask) throws {
        guard isSequenceClassifier else { return }
        if task == .languageModel {
            throw InputError(
                "the model is a reward model (a sequence classifier): it scores answers, and has no head that says which token comes next",
                file: path, hint: "`graft evaluate` scores preference pairs with it")
        }
        // transformers' default is two, and a number that is the default is not written.
        let count = configuration["num_labels"]?.integer ?? configuration["id2label"]?.object?.count ?? 2
        guard count == 1 else {
            throw InputError(
                "the model has \(count) labels; a reward model has one", file: "\(path)/config.json",
                place: "`num_labels`")
        }
    }
}

extension ModelFamily {
    /// `architectures` of a sequence classifier.
    static var classifierArchitecture: String {
        architecture.replacing("ForCausalLM", with: "ForSequenceClassification")
    }
}

extension CausalLM {
    /// Whether it has a score head and no other.
    public var isSequenceClassifier: Bool { head == nil }

    /// Gives a language model a place for the score heads of reward adapters, which bring their weights with them. What is there says
    /// nothing; it is frozen, and no part of the model when that is written.
    public func addScoreHead() {
        guard scoreHead == nil else { return }
        scoreHead = Linear(weight: Parameter(.zeros([1, configuration.hiddenSize])))
    }

    /// Rewards sequences by the hidden states of their last tokens: `r = h wᵀ`. Computed in f32 whatever the model's precision.
    ///
    /// - Parameters:
    ///   - tokens: the batch's T tokens, laid out as the context's layout says.
    ///   - rows: the row of each sequence's last token.
    ///   - context: of the forward pass.
    /// - Returns: `[rows, 1]`.
    public func rewards(_ tokens: [Int32], rows: [Int32], _ context: ForwardContext) -> Tensor {
        rewards(of: states(tokens, context), rows: rows)
    }

    /// The rewards `[rows, 1]` of the sequences that end in some rows of a pass.
    public func rewards(of states: HiddenStates, rows: [Int32]) -> Tensor {
        guard let scoreHead else { preconditionFailure("rewards asked of a model without a score head") }
        let ends = gatherRows(states.values, states.places(of: rows))
        return scoreHead(ends, states.context.computing(in: .f32))
    }
}
