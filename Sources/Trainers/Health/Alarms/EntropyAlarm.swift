import Foundation

/// The model has become sure of every token: a policy then explores no more.
enum EntropyAlarm: HealthAlarm {
    static let name = "entropy"
    static let metrics = ["policy/entropy_avg", "entropy"]
    private static let steps = 5

    static func fault(in history: MetricHistory, _ limits: HealthLimits) -> String? {
        for metric in metrics {
            guard let now = history.last(steps, of: metric)?.mean else { continue }
            let means = String(format: "the entropy of a token is %.3g nats over %d steps", now, steps)
            if let floor = limits.entropyFloor, now < floor {
                return means + String(format: " (the floor is %g)", floor)
            }
            if let share = limits.entropyShare, let start = history.first(steps, of: metric)?.mean, now < share * start
            {
                return means + String(format: ", %.0f %% of the %.3g that it began with", 100 * now / start, start)
            }
        }
        return nil
    }
}
