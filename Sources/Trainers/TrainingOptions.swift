import Layers

/// How a training loop runs.
public struct TrainingOptions: Sendable {
    /// Optimizer steps of the whole run.
    public var totalSteps: Int
    /// The rate that the schedule's factor multiplies.
    public var learningRate: Double
    /// The factor of each step.
    public var schedule: Schedule
    /// Gradients are scaled down to this L2 norm; nil for no clipping.
    public var maxGradientNorm: Double?
    /// The seed of dropout.
    public var seed: UInt64
    /// Which activations are computed again in the backward pass instead of being kept.
    public var recompute: Recompute
    /// Tokens whose activations are held at once, where a micro-batch can be divided.
    public var tokensPerPass: Int
    /// Steps between evaluations; nil for none during training.
    public var evaluationSteps: Int?
    /// Steps between checkpoints; nil for none but the last.
    public var saveSteps: Int?
    /// Whether a checkpoint is also saved where an evaluation is the best so far.
    public var savesBest: Bool
    /// Evaluations without improvement after which the run stops; nil for never.
    public var earlyStoppingPatience: Int?
    /// By how much an evaluation must be lower to count as an improvement.
    public var earlyStoppingThreshold: Double

    /// Makes options; what is left out is off.
    public init(
        totalSteps: Int, learningRate: Double, schedule: Schedule, maxGradientNorm: Double? = 1, seed: UInt64 = 42,
        recompute: Recompute = .none, tokensPerPass: Int = .max, evaluationSteps: Int? = nil, saveSteps: Int? = nil,
        savesBest: Bool = false, earlyStoppingPatience: Int? = nil, earlyStoppingThreshold: Double = 0
    ) {
        self.totalSteps = totalSteps
        self.learningRate = learningRate
        self.schedule = schedule
        self.maxGradientNorm = maxGradientNorm
        self.seed = seed
        self.recompute = recompute
        self.tokensPerPass = tokensPerPass
        self.evaluationSteps = evaluationSteps
        self.saveSteps = saveSteps
        self.savesBest = savesBest
        self.earlyStoppingPatience = earlyStoppingPatience
        self.earlyStoppingThreshold = earlyStoppingThreshold
    }
}

/// What a training loop asks of those who run it.
public struct TrainingHooks {
    /// Takes each step's metrics, before anything is saved.
    public var didStep: (StepMetrics) throws -> Void
    /// Evaluates the model as it is; nil where there is nothing to evaluate on.
    public var evaluate: (() throws -> EvaluationResult?)?
    /// Takes each evaluation, and whether it is the best so far.
    public var didEvaluate: (Int, EvaluationResult, Bool) throws -> Void
    /// Saves a checkpoint.
    public var save: (TrainingState) throws -> Void
    /// Whether the run should save and stop; asked after each step.
    public var shouldStop: () -> Bool
    /// Takes a remark for whoever watches.
    public var note: (String) -> Void

    /// Makes hooks; what is left out does nothing.
    public init(
        didStep: @escaping (StepMetrics) throws -> Void = { _ in },
        evaluate: (() throws -> EvaluationResult?)? = nil,
        didEvaluate: @escaping (Int, EvaluationResult, Bool) throws -> Void = { _, _, _ in },
        save: @escaping (TrainingState) throws -> Void = { _ in }, shouldStop: @escaping () -> Bool = { false },
        note: @escaping (String) -> Void = { _ in }
    ) {
        self.didStep = didStep
        self.evaluate = evaluate
        self.didEvaluate = didEvaluate
        self.save = save
        self.shouldStop = shouldStop
        self.note = note
    }
}

/// Why a training loop came back.
public enum TrainingOutcome: Equatable, Sendable {
    /// All steps are done.
    case finished
    /// Evaluations stopped improving.
    case stoppedEarly
    /// ``TrainingHooks/shouldStop`` said so; the state is saved.
    case interrupted
    /// An alarm fired, and ``HealthLimits/stops`` is set; the state is saved.
    case alarmed
}
