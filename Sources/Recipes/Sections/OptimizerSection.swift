/// The rule that turns gradients into steps.
public enum OptimizerType: String, CaseIterable, RecipeChoice {
    /// Adam with decoupled weight decay (arXiv:1711.05101), as torch computes it.
    case adamw
    /// Gradient descent, with momentum if asked.
    case sgd
}

/// The learning rate over the run, after warm-up.
public enum LearningRateSchedule: String, CaseIterable, RecipeChoice {
    /// The same throughout.
    case constant
    /// Down to zero in a straight line.
    case linear
    /// Down along half a cosine.
    case cosine
    /// Down as 1/√step.
    case inverseSqrt = "inverse_sqrt"
    /// The same, then down along half a cosine at the end.
    case warmupStableDecay = "warmup_stable_decay"
}

/// A number of optimizer steps, absolute or as a share of the run.
public enum StepCount: Equatable, Sendable {
    /// This many.
    case steps(Int)
    /// This share of all, above 0 and below 1.
    case share(Double)

    /// The number in a run of `total` steps; shares are rounded up, as transformers does.
    public func count(of total: Int) -> Int {
        switch self {
        case .steps(let count): count
        case .share(let share): Int((Double(total) * share).rounded(.up))
        }
    }
}

extension StepCount: RecipeValue {
    static let kind = "a number of steps, or a share below 1"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .integer(let count) where count >= 0: self = .steps(count)
        case .number(0): self = .steps(0)
        case .number(let share) where share > 0 && share < 1: self = .share(share)
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .steps(let count): count.written
        case .share(let share): share.written
        }
    }
}

/// `optimizer:`, how gradients become steps.
public struct OptimizerSettings: Equatable, Sendable {
    /// The rule.
    public var type = OptimizerType.adamw
    /// The highest rate.
    public var learningRate = 2e-4
    /// The highest rate of a new head; nil for that of all else.
    public var headLearningRate: Double?
    /// The rate over the run.
    public var schedule = LearningRateSchedule.linear
    /// Steps in which the rate rises from zero in a straight line.
    public var warmupSteps = StepCount.steps(0)
    /// The rate that cosine and warmup_stable_decay end at, as a share of the highest.
    public var minLRRate = 0.0
    /// The last steps in which warmup_stable_decay goes down; set once a recipe with that schedule has been read.
    public var decaySteps: StepCount?
    /// Decay of the weights a step, in units of the rate; biases and norms have none.
    public var weightDecay = 0.0
    /// AdamW's decay of the mean gradient.
    public var beta1 = 0.9
    /// AdamW's decay of the mean squared gradient.
    public var beta2 = 0.999
    /// What AdamW adds to the root of the mean square.
    public var epsilon = 1e-8
    /// SGD's momentum.
    public var momentum = 0.0
    /// Gradients whose global L2 norm is above this are scaled down to it; 0 never.
    public var maxGradNorm = 1.0
    /// LoRA+: how much faster B learns than A; nil for the same rate.
    public var loraplusLRRatio: Double?
    /// LoRA+: the rate of an embedding's adapter.
    public var loraplusLREmbedding = 1e-6

    /// The share of a run in which warmup_stable_decay goes down where a recipe does not say.
    public static let defaultDecaySteps = StepCount.share(0.1)

    /// The defaults.
    public init() {}
}

extension OptimizerSettings: RecipeSection {
    static let name = "optimizer"
    static let summary = "How gradients become steps."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("type", \.type, "The rule: AdamW as torch computes it, or gradient descent."),
            RecipeKey("learning_rate", \.learningRate, range: .above(0), "The highest rate."),
            RecipeKey(
                "head_learning_rate", optional: \.headLearningRate, range: .above(0),
                "The highest rate of a new head, which can learn faster than an adapter: a reward model's score head, PPO's value head. learning_rate if left out."
            ),
            RecipeKey("schedule", \.schedule, "The rate over the run after warm-up, as transformers computes it."),
            RecipeKey(
                "warmup_steps", \.warmupSteps, "Steps in which the rate rises from zero; below 1 a share of the run."),
            RecipeKey(
                "min_lr_rate", \.minLRRate, range: .within(0...1),
                "The rate that cosine and warmup_stable_decay end at, as a share of the highest."),
            RecipeKey(
                "decay_steps", optional: \.decaySteps,
                "The last steps, in which warmup_stable_decay goes down; 0.1 of the run where it is left out."),
            RecipeKey(
                "weight_decay", \.weightDecay, range: .atLeast(0),
                "Decay of the weights a step, in units of the rate; biases and norms have none."),
            RecipeKey("beta1", \.beta1, range: .within(0..<1), "AdamW's decay of the mean gradient."),
            RecipeKey("beta2", \.beta2, range: .within(0..<1), "AdamW's decay of the mean squared gradient."),
            RecipeKey("epsilon", \.epsilon, range: .above(0), "What AdamW adds to the root of the mean square."),
            RecipeKey("momentum", \.momentum, range: .within(0..<1), "SGD's momentum."),
            RecipeKey(
                "max_grad_norm", \.maxGradNorm, range: .atLeast(0),
                "Gradients with a larger global L2 norm are scaled down to it; 0 turns that off."),
            RecipeKey(
                "loraplus_lr_ratio", optional: \.loraplusLRRatio, range: .above(0),
                "LoRA+: how much faster B, magnitudes and biases learn than A, as in PEFT's optimizer."),
            RecipeKey(
                "loraplus_lr_embedding", \.loraplusLREmbedding, range: .above(0),
                "LoRA+: the highest rate of an embedding's adapter."),
        ]
    }
}
