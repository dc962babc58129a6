import Foundation

/// The policy leaves its reference: what the reward model or the rule does not see is lost.
enum KLAlarm: HealthAlarm {
    static let name = "kl"
    private static let kl = "objective/kl"
    static let metrics = [kl]
    private static let rollouts = 3

    static func fault(in history: MetricHistory, _ limits: HealthLimits) -> String? {
        guard let limit = limits.kl, let last = history.last(rollouts, of: kl), last.mean > limit else { return nil }
        return String(
            format: "the KL from the reference is %.3g nats an answer over %d rollouts (the limit is %.4g)", last.mean,
            rollouts, limit)
    }
}
