import Files

/// Where a run is, beside its weights and optimizer state.
public struct TrainingState: Equatable, Sendable {
    /// Optimizer steps taken.
    public var step = 0
    /// Tokens read so far.
    public var tokens = 0
    /// The lowest evaluation loss so far, and the step it was measured after.
    public var best: Best?
    /// Evaluations since the best one.
    public var evaluationsSinceBest = 0

    /// The lowest evaluation loss so far.
    public struct Best: Equatable, Sendable {
        /// The mean negative log-likelihood.
        public var loss: Double
        /// The step it was measured after.
        public var step: Int
    }

    /// The start of a run.
    public init() {}

    var json: JSON {
        [
            "step": .integer(step), "tokens": .integer(tokens),
            "best": best.map { ["loss": .number($0.loss), "step": .integer($0.step)] } ?? nil,
            "evaluations_since_best": .integer(evaluationsSinceBest),
        ]
    }

    init(_ json: JSON, file: String) throws {
        guard let step = json["step"]?.integer, let tokens = json["tokens"]?.integer,
            let since = json["evaluations_since_best"]?.integer, step >= 0
        else { throw InputError("is no training state", file: file) }
        self.step = step
        self.tokens = tokens
        evaluationsSinceBest = since
        if let best = json["best"] {
            guard let loss = best["loss"]?.number, let step = best["step"]?.integer else {
                throw InputError("is no training state", file: file, place: "`best`")
            }
            self.best = Best(loss: loss, step: step)
        }
    }
}
