import Adapters
import Layers

extension Recompute: RecipeChoice {}

/// `training:`, how long and with what.
public struct TrainingSettings: Equatable, Sendable {
    /// Passes over the training rows; not used where ``maxSteps`` is set.
    public var epochs = 1
    /// Optimizer steps, going on into new epochs as needed.
    public var maxSteps: Int?
    /// Micro-batches in an optimizer step.
    public var gradientAccumulationSteps = 1
    /// What every random choice is drawn from.
    public var seed = 42
    /// The weights of the model that are trained, by regular expressions over their paths; nil for all, where there is no adapter.
    public var trainable: [String]?
    /// Decoder layers, counted from the last, that are trained whole beside those.
    public var trainableTopLayers: Int?
    /// Which activations are computed again.
    public var recompute = Recompute.none
    /// Tokens whose activations are held at once; a larger micro-batch runs in several passes.
    public var tokensPerPass = 1024
    /// Threads; 0 for one on each core. Results do not depend on it.
    public var threads = 0
    /// Evaluate every so many steps too; nil for only before and after.
    public var evalSteps: Int?
    /// Stop after this many evaluations in a row without an improvement.
    public var earlyStoppingPatience: Int?
    /// What counts as an improvement of the evaluation's loss.
    public var earlyStoppingThreshold = 0.0
    /// Whether the weights of the best evaluation are saved instead of the last ones.
    public var keepBest = false

    /// The defaults.
    public init() {}

    /// The weights that are trained where there is no adapter; nil for all.
    var trainableParameters: TrainableParameters? {
        guard trainable != nil || trainableTopLayers != nil else { return nil }
        return TrainableParameters(patterns: trainable ?? [], topLayers: trainableTopLayers ?? 0)
    }
}

extension TrainingSettings: RecipeSection {
    static let name = "training"
    static let summary = "How long, and with what."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "epochs", \.epochs, range: .within(1...10_000),
                "Passes over the training rows; max_steps goes before it."),
            RecipeKey(
                "max_steps", optional: \.maxSteps, range: .atLeast(1),
                "Optimizer steps, going on into new epochs as needed."),
            RecipeKey(
                "gradient_accumulation_steps", \.gradientAccumulationSteps, range: .atLeast(1),
                "Micro-batches in an optimizer step."),
            RecipeKey("seed", \.seed, range: .atLeast(0), "What every random choice is drawn from."),
            RecipeKey(
                "trainable", optional: \.trainable,
                "Without an adapter: the weights that are trained, as regular expressions that match a whole path, such as `.*norm\\.weight`; all if left out. The rest is frozen, in `model.weights`."
            ),
            RecipeKey(
                "trainable_top_layers", optional: \.trainableTopLayers, range: .atLeast(1),
                "Without an adapter: so many decoder layers, counted from the last, are trained, and nothing else but what `trainable` names."
            ),
            RecipeKey(
                "recompute", \.recompute,
                "What is computed again in the backward pass: `layer` takes the least memory and about a third more time, `attention` is between; the same result."
            ),
            RecipeKey(
                "tokens_per_pass", \.tokensPerPass, range: .atLeast(1),
                "Tokens whose activations are held at once. A larger micro-batch runs in several passes, row by row: the same step to rounding, in less memory."
            ),
            RecipeKey(
                "threads", \.threads, range: .within(0...4096),
                "Threads; 0 is one on each core. The result does not depend on it."),
            RecipeKey(
                "eval_steps", optional: \.evalSteps, range: .atLeast(1),
                "Evaluate every so many steps, besides before and after."),
            RecipeKey(
                "early_stopping_patience", optional: \.earlyStoppingPatience, range: .atLeast(1),
                "Stop after this many evaluations in a row without an improvement. Needs eval_steps."),
            RecipeKey(
                "early_stopping_threshold", \.earlyStoppingThreshold, range: .atLeast(0),
                "By how much the evaluation's loss must fall to count as an improvement."),
            RecipeKey(
                "keep_best", \.keepBest,
                "Save the weights of the best evaluation instead of the last ones. Needs eval_steps."),
        ]
    }
}
