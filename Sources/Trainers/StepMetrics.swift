import Files
import Glibc

/// What one optimizer step did: a line of `metrics.jsonl`.
public struct StepMetrics: Sendable {
    /// The number of the step, from 1.
    public var step: Int
    /// Epochs completed.
    public var epoch: Double
    /// The loss over the whole step, after division by the step's counts.
    public var loss: Double
    /// The L2 norm of all gradients, before clipping.
    public var gradientNorm: Double
    /// The rate this step used.
    public var learningRate: Double
    /// Tokens the model read.
    public var tokens: Int
    /// Tokens it was trained on.
    public var trainedTokens: Int
    /// Tokens read a second, without evaluation and saving.
    public var tokensPerSecond: Double
    /// The most memory the process ever held.
    public var peakMemoryBytes: Int
    /// The objective's own metrics, under TRL's names.
    public var objective: [String: Double]
    /// The names of the alarms that fired in this step.
    public var alarms: [String] = []

    /// The line, without its line feed.
    public var json: JSON {
        var members: [(String, JSON)] = [
            ("step", .integer(step)), ("epoch", .number(epoch)), ("loss", .number(loss)),
            ("grad_norm", .number(gradientNorm)), ("learning_rate", .number(learningRate)),
            ("tokens", .integer(tokens)), ("trained_tokens", .integer(trainedTokens)),
            ("tokens_per_second", .number((tokensPerSecond * 10).rounded() / 10)),
            ("peak_memory_bytes", .integer(peakMemoryBytes)),
        ]
        members += objective.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) }
        if !alarms.isEmpty { members.append(("alarms", .array(alarms.map { .string($0) }))) }
        return .object(.init(members, uniquingKeysWith: { $1 }))
    }
}

/// The most memory that this process ever held, in bytes.
public func processPeakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
}
