/// A way in which a run goes wrong while its loss looks well, told from its metrics.
protocol HealthAlarm: Sendable {
    /// What the alarm is called in `metrics.jsonl` and in the run's summary.
    static var name: String { get }
    /// The metrics that it reads.
    static var metrics: [String] { get }
    /// What is wrong, as a sentence without a full stop; nil while nothing is.
    static func fault(in history: MetricHistory, _ limits: HealthLimits) -> String?
}

/// The list of alarms: one file each in `Health/Alarms`.
public enum HealthAlarms {
    static let registered: [any HealthAlarm.Type] = [
        ChosenLogpsAlarm.self, EntropyAlarm.self, KLAlarm.self, LengthAlarm.self, MarginsAlarm.self,
    ]

    /// The types of the list.
    public static var all: [Any.Type] { registered }

    /// The metrics that any of them reads.
    static let metrics = Set(registered.flatMap { $0.metrics })
}

/// An alarm of a run, with the step at which it fired first.
public struct FiredAlarm: Hashable, Sendable {
    /// What it is called.
    public var name: String
    /// The step, from 1.
    public var step: Int
    /// What was wrong, as a sentence without a full stop.
    public var sentence: String

    /// Makes one.
    public init(name: String, step: Int, sentence: String) {
        self.name = name
        self.step = step
        self.sentence = sentence
    }
}
