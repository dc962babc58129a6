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
    /// What the alarms remember.
    public var health = HealthState()
    /// What the batch source needs to go on; see ``BatchSource/state``.
    public var batches: JSON?

    /// The lowest evaluation loss so far.
    public struct Best: Equatable, Sendable {
        /// The mean negative log-likelihood.
        public var loss: Double
        /// The step it was measured after.
        public var step: Int

        /// Makes a pair.
        public init(loss: Double, step: Int) {
            self.loss = loss
            self.step = step
        }
    }

    /// What a counter in a file may be: far above any run, low enough that nothing overflows.
    static let counts = 0...(1 << 56)

    /// The start of a run.
    public init() {}

    var json: JSON {
        [
            "step": .integer(step), "tokens": .integer(tokens),
            "best": best.map { ["loss": .number($0.loss), "step": .integer($0.step)] } ?? nil,
            "evaluations_since_best": .integer(evaluationsSinceBest), "health": health.json, "batches": batches ?? nil,
        ]
    }

    init(_ json: JSON, file: String) throws {
        func count(_ json: JSON, _ key: String) throws -> Int {
            guard let value = json[key]?.integer, Self.counts.contains(value) else {
                throw InputError("is no training state", file: file, place: "`\(key)`")
            }
            return value
        }
        step = try count(json, "step")
        tokens = try count(json, "tokens")
        evaluationsSinceBest = try count(json, "evaluations_since_best")
        batches = json["batches"]
        if let health = json["health"] { self.health = try HealthState(health, file: file) }
        if let best = json["best"] {
            guard let loss = best["loss"]?.number, loss.isFinite else {
                throw InputError("is no training state", file: file, place: "`best`")
            }
            self.best = Best(loss: loss, step: try count(best, "step"))
        }
    }
}
