import Foundation

/// Every pair is the right way round by far: its loss is flat, and what is still learnt is to repeat the answers.
enum MarginsAlarm: HealthAlarm {
    static let name = "margins"
    private static let (accuracies, margins) = ("rewards/accuracies", "rewards/margins")
    static let metrics = [accuracies, margins]

    static func fault(in history: MetricHistory, _ limits: HealthLimits) -> String? {
        let window = MetricHistory.window
        guard let limit = limits.margin, let accuracies = history.last(window, of: accuracies),
            let margins = history.last(window, of: margins),
            accuracies.allSatisfy({ $0 == 1 }), margins.allSatisfy({ $0 > limit })
        else { return nil }
        return String(
            format: "all pairs of %d steps are the right way round, by %.3g nats in the mean (the limit is %g)", window,
            margins.mean, limit)
    }
}
