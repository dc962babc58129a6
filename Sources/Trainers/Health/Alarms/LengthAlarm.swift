import Foundation

/// The score rises because answers grow: within a rollout the longer answer is nearly always the better one.
enum LengthAlarm: HealthAlarm {
    static let name = "length"
    private static let (correlation, score, length) = (
        "rewards/length_correlation", "objective/scores", "completions/mean_length"
    )
    static let metrics = [correlation, score, length]
    private static let rollouts = 4

    static func fault(in history: MetricHistory, _ limits: HealthLimits) -> String? {
        guard let limit = limits.lengthCorrelation, let correlation = history.last(rollouts, of: correlation)?.mean,
            correlation > limit, let scores = rise(of: score, in: history), let lengths = rise(of: length, in: history),
            scores.now > scores.start, lengths.now > lengths.start
        else { return nil }
        return String(
            format: "the score rises with length: their correlation within a rollout is %.3f, and answers grew from "
                + "%.4g to %.4g tokens while the score rose from %.3g to %.3g",
            correlation, lengths.start, lengths.now, scores.start, scores.now)
    }

    private static func rise(of metric: String, in history: MetricHistory) -> (start: Double, now: Double)? {
        guard let first = history.first(rollouts, of: metric), let last = history.last(rollouts, of: metric) else {
            return nil
        }
        return (first.mean, last.mean)
    }
}
