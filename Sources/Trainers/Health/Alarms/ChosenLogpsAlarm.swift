import Foundation

/// The chosen answers become less probable than they were at the start: the loss falls because the rejected ones fall faster.
///
/// Batches hold other rows each. So where the reference scores them too, its log-probabilities are taken off; and what fell must be
/// three times its standard error.
enum ChosenLogpsAlarm: HealthAlarm {
    static let name = "chosen_logps"
    private static let (chosen, reference) = ("logps/chosen", "logps/ref_chosen")
    static let metrics = [chosen, reference]

    static func fault(in history: MetricHistory, _ limits: HealthLimits) -> String? {
        let window = MetricHistory.window
        guard let limit = limits.chosenLogpsDrop, let before = history.first(window, of: chosen),
            let now = history.last(window, of: chosen)
        else { return nil }
        var (start, end) = (before, now)
        if let first = history.first(window, of: reference), let last = history.last(window, of: reference) {
            start = zip(before, first).map(-)
            end = zip(now, last).map(-)
        }
        let drop = start.mean - end.mean
        let error = (start.squaredStandardError + end.squaredStandardError).squareRoot()
        guard drop > 3 * error, drop > limit * abs(before.mean) else { return nil }
        return String(
            format:
                "the chosen answers' log-probability has fallen by %.3g nats, %.0f %% of the %.4g that it began with",
            drop, 100 * drop / abs(before.mean), before.mean)
    }
}
