/// What a run's metrics may come to before an alarm says so; nil for no such alarm.
public struct HealthLimits: Hashable, Sendable {
    /// The share of where it began by which the log-probability of the chosen answers may fall.
    public var chosenLogpsDrop: Double? = 0.25
    /// The reward margin, in nats, that pairs which are all the right way round may have.
    public var margin: Double? = 10
    /// The KL of an answer from the reference, in nats, summed over its tokens.
    public var kl: Double?
    /// The mean entropy of a next token, in nats, below which it may not fall.
    public var entropyFloor: Double?
    /// The share of where it began below which the entropy may not fall.
    public var entropyShare: Double? = 0.1
    /// The correlation of score and length within a rollout, while both rise.
    public var lengthCorrelation: Double? = 0.9
    /// Whether a trainable tensor whose gradient stays zero is an alarm.
    public var watchesGradients = true
    /// Whether the run stops at its first alarm.
    public var stops = false

    /// Limits that a healthy run keeps, and none for the KL, which is a matter of the reward.
    public init() {}
}
