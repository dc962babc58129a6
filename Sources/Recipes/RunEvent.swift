import Files
import Trainers

/// Something that happens in a run and that whoever started it may want to show. Nothing below the command line prints.
public enum RunEvent: Sendable {
    /// A sentence worth reading: rows that were truncated, a storage type that was chosen.
    case note(String)
    /// Training is about to begin.
    case started(RunOutline)
    /// An optimizer step is done.
    case step(StepReport)
    /// The model was evaluated.
    case evaluated(EvaluationReport)
    /// Prompts were answered by the policy that is trained, and judged.
    case rolledOut(RolloutReport)
    /// A reward model was judged by pairs that were kept from it.
    case judged(RewardCard)
    /// Tokens were scored, without loading counted.
    case scored(tokens: Int, seconds: Double)
    /// A checkpoint, an adapter or a model was written.
    case saved(path: String)
    /// The run is over and its folder complete.
    case finished(path: String, seconds: Double)
}

/// Takes events as they happen, on the thread that trains.
public typealias RunObserver = (RunEvent) -> Void

/// What a run is going to do.
public struct RunOutline: Sendable {
    /// Optimizer steps in all, those of a resumed run included.
    public var steps: Int
    /// The step after which it goes on; 0 from the start.
    public var firstStep: Int
    /// Training rows; nil where they are streamed.
    public var rows: Int?
    /// Parameters that are trained.
    public var trainableParameters: Int
    /// Parameters in all.
    public var parameters: Int

    /// Describes a run.
    public init(steps: Int, firstStep: Int, rows: Int?, trainableParameters: Int, parameters: Int) {
        self.steps = steps
        self.firstStep = firstStep
        self.rows = rows
        self.trainableParameters = trainableParameters
        self.parameters = parameters
    }
}

/// One optimizer step, as it is shown.
public struct StepReport: Sendable {
    /// The step's number, from 1.
    public var step: Int
    /// Steps in all.
    public var steps: Int
    /// The mean loss over the step's trained tokens.
    public var loss: Double
    /// Real tokens a second, evaluation and saving left out.
    public var tokensPerSecond: Double
    /// The process's peak memory.
    public var peakMemoryBytes: Int

    /// The mean score of the rollout that was trained on; nil where there is none.
    public var score: Double?
    /// How far its answers were from the reference, in nats an answer; nil where there is none.
    public var kl: Double?

    /// Describes a step.
    public init(
        step: Int, steps: Int, loss: Double, tokensPerSecond: Double, peakMemoryBytes: Int, score: Double? = nil,
        kl: Double? = nil
    ) {
        self.step = step
        self.steps = steps
        self.loss = loss
        self.tokensPerSecond = tokensPerSecond
        self.peakMemoryBytes = peakMemoryBytes
        self.score = score
        self.kl = kl
    }
}

/// Answers of the policy that is trained, as they are shown.
public struct RolloutReport: Sendable {
    /// The first step that trains on them; of an evaluation, the steps done.
    public var step: Int
    /// Whether they are not trained on.
    public var isEvaluation: Bool
    /// The first prompt.
    public var prompt: String
    /// Its first answer.
    public var answer: String
    /// That answer's score.
    public var score: Double

    init(_ rollout: Rollout, at moment: RolloutMoment) {
        step = moment.step
        isEvaluation = moment.isEvaluation
        prompt = rollout.prompts.first ?? ""
        answer = rollout.answers.first?.first?.text ?? ""
        score = rollout.answers.first?.first?.score ?? 0
    }
}

/// One evaluation, as it is shown.
public struct EvaluationReport: Sendable {
    /// The optimizer step after which it was done; 0 before training.
    public var step: Int
    /// What training makes smaller.
    public var loss: Double
    /// `exp` of the mean negative log-probability of a token; of preferences, in the chosen or desirable answers.
    public var perplexity: Double
    /// The standard error of that, clustered by row.
    public var perplexityStandardError: Double
    /// Tokens that were predicted.
    public var tokens: Int
    /// The share of pairs whose chosen answer has the higher reward; nil where there are no rewards.
    public var accuracy: Double?
    /// By how much, in the mean; nil where there are no rewards.
    public var margin: Double?
    /// The mean score of the answers that the model wrote; nil where it wrote none.
    public var score: Double?
    /// How far they are from the reference, in nats an answer; nil where there is none.
    public var kl: Double?

    /// Describes an evaluation.
    public init(
        step: Int, loss: Double, perplexity: Double, perplexityStandardError: Double, tokens: Int,
        accuracy: Double? = nil, margin: Double? = nil, score: Double? = nil, kl: Double? = nil
    ) {
        self.step = step
        self.loss = loss
        self.perplexity = perplexity
        self.perplexityStandardError = perplexityStandardError
        self.tokens = tokens
        self.accuracy = accuracy
        self.margin = margin
        self.score = score
        self.kl = kl
    }
}

/// A run that a signal stopped after it had saved. The command line exits with 128 plus the signal.
public struct RunStopped: Error, Equatable, CustomStringConvertible {
    /// The signal's number: 2 for Ctrl-C, 15 for a termination request.
    public var signal: Int32
    /// The checkpoint that was written, where there was something to save.
    public var checkpoint: String?

    /// Describes the stop.
    public init(signal: Int32, checkpoint: String?) {
        self.signal = signal
        self.checkpoint = checkpoint
    }

    /// What happened and how to go on.
    public var description: String {
        checkpoint.map { "stopped; saved \($0); go on with --resume" }
            ?? "stopped before the first step; nothing to save"
    }
}
