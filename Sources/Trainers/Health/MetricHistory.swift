/// The first and the last values of the metrics that alarms read.
public struct MetricHistory: Hashable, Sendable {
    /// How many of each are kept.
    static let window = 10

    /// One metric.
    struct Series: Hashable, Sendable {
        /// Its first values, up to a window of them.
        var first: [Double] = []
        /// Its last values, up to a window of them.
        var last: [Double] = []
        /// How often it was measured.
        var count = 0

        mutating func append(_ value: Double) {
            count += 1
            if first.count < MetricHistory.window { first.append(value) }
            last = (last + [value]).suffix(MetricHistory.window)
        }
    }

    var series: [String: Series] = [:]

    /// Nothing measured yet.
    init() {}

    /// Adds what a step measured, as far as an alarm reads it.
    mutating func append(_ measured: [String: Double]) {
        for (name, value) in measured where HealthAlarms.metrics.contains(name) && value.isFinite {
            series[name, default: Series()].append(value)
        }
    }

    /// The first so many values; nil before there are twice as many, so that they have no value in common with the last.
    func first(_ count: Int, of name: String) -> [Double]? {
        guard let series = series[name], series.count >= 2 * count else { return nil }
        return Array(series.first.prefix(count))
    }

    /// The last so many values; nil before there are as many.
    func last(_ count: Int, of name: String) -> [Double]? {
        guard let series = series[name], series.count >= count else { return nil }
        return Array(series.last.suffix(count))
    }
}

extension Collection<Double> {
    /// The mean; 0 of nothing.
    var mean: Double { reduce(0, +) / Double(Swift.max(1, count)) }

    /// The square of the mean's standard error; 0 of fewer than two numbers.
    var squaredStandardError: Double {
        guard count > 1 else { return 0 }
        let mean = mean
        return reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1) / Double(count)
    }
}
