import Trainers

/// The KL from the reference that an answer may have.
public enum KLLimit: Equatable, Sendable {
    /// Twice the objective's target; none where it has no target.
    case auto
    /// So many nats, summed over an answer's tokens.
    case nats(Double)
}

extension KLLimit: RecipeValue {
    static let kind = "`auto` or a number above 0"

    init(reading node: RecipeNode, as keyPath: String) throws {
        if case .string("auto") = node.content {
            self = .auto
            return
        }
        guard let nats = try? Double(reading: node, as: keyPath), nats > 0 else { throw Self.wrongKind(node, keyPath) }
        self = .nats(nats)
    }

    var written: RecipeNode.Content {
        switch self {
        case .auto: .string("auto")
        case .nats(let nats): .number(nats)
        }
    }
}

/// `health:`, what a run's metrics may come to before it says so.
public struct HealthSettings: Equatable, Sendable {
    /// All limits but that of the KL.
    public var limits = HealthLimits()
    /// The limit of the KL; nil for none.
    public var kl: KLLimit? = .auto

    /// The defaults.
    public init() {}
}

extension HealthSettings: RecipeSection {
    static let name = "health"
    static let summary =
        "When a run raises an alarm: a sentence, a name in `metrics.jsonl` and in the summary. `null` switches one off."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "chosen_logps_drop", optional: \.limits.chosenLogpsDrop, range: .above(0),
                "Alarm `chosen_logps`: the share of its start by which the log-probability of chosen answers may fall."),
            RecipeKey(
                "margin_limit", optional: \.limits.margin, range: .above(0),
                "Alarm `margins`: the largest reward margin allowed while every pair of ten steps is ranked correctly."
            ),
            RecipeKey(
                "kl_limit", optional: \.kl,
                "Alarm `kl`: the KL of an answer from the reference, in nats, over three rollouts. `auto` is twice the objective's target, if it has one."
            ),
            RecipeKey(
                "entropy_floor", optional: \.limits.entropyFloor, range: .above(0),
                "Alarm `entropy`: the least mean entropy of a token, in nats, over five steps."),
            RecipeKey(
                "entropy_share", optional: \.limits.entropyShare, range: .within(0...1),
                "Alarm `entropy`: the least share of the entropy of the first five steps."),
            RecipeKey(
                "length_correlation", optional: \.limits.lengthCorrelation, range: .within(-1...1),
                "Alarm `length`: the correlation of score and length within a rollout, where both rise."),
            RecipeKey(
                "zero_gradients", \.limits.watchesGradients,
                "Alarm `gradient`: a trainable tensor whose gradient is zero after two changes of weights."),
            RecipeKey(
                "stop", \.limits.stops,
                "Whether an alarm stops the run: the weights are saved, the summary says why, the exit code is 1."),
        ]
    }
}

extension Recipe {
    /// What the run's alarms go by.
    var healthLimits: HealthLimits {
        var limits = health.limits
        switch health.kl {
        case .auto: limits.kl = objective.targetKL.map { 2 * $0 }
        case .nats(let nats): limits.kl = nats
        case nil: limits.kl = nil
        }
        return limits
    }
}
