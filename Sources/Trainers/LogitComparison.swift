import Foundation
import Layers
import Models
import Tensors

/// How far two models' next-token distributions are apart on the same tokens.
public struct LogitDifference: Sendable {
    /// The largest difference of a logit.
    public private(set) var maximum = 0.0
    /// The mean difference of a logit.
    public var mean: Double { count == 0 ? 0 : sum / Double(count) }
    /// The mean of `KL(a ‖ b)`, nats a token.
    public var meanKL: Double { rows == 0 ? 0 : kl / Double(rows) }
    /// The tokens after which distributions were compared.
    public private(set) var rows = 0

    private var sum = 0.0
    private var count = 0
    private var kl = 0.0

    /// Nothing compared yet.
    public init() {}

    /// Adds logits `[rows, vocabulary]` of both models. A value that is not finite makes every figure infinite.
    public mutating func add(_ a: Tensor, _ b: Tensor) {
        precondition(a.shape == b.shape, "logits of shapes \(a.shape) and \(b.shape)")
        let width = a.columns
        a.withFloats { a in
            b.withFloats { b in
                for start in stride(from: 0, to: a.count, by: width) {
                    addRow(
                        UnsafeBufferPointer(rebasing: a[start..<start + width]),
                        UnsafeBufferPointer(rebasing: b[start..<start + width]))
                }
            }
        }
    }

    private mutating func addRow(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) {
        let (topA, topB) = (Double(a.max() ?? 0), Double(b.max() ?? 0))
        var (totalA, totalB, weighted, largest, difference) = (0.0, 0.0, 0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            let (x, y) = (Double(x), Double(y))
            let delta = abs(x - y)
            guard delta.isFinite else {
                maximum = .infinity
                sum = .infinity
                kl = .infinity
                return
            }
            largest = max(largest, delta)
            difference += delta
            let share = exp(x - topA)
            totalA += share
            totalB += exp(y - topB)
            weighted += share * ((x - topA) - (y - topB))
        }
        maximum = max(maximum, largest)
        sum += difference
        count += a.count
        // KL = Σ p (log p - log q), with log p = x - topA - log(totalA).
        kl += max(0, weighted / totalA - log(totalA) + log(totalB))
        rows += 1
    }
}

extension CausalLM {
    /// The logits after every token of some sequences, a few rows at a time; of a sequence classifier the reward.
    ///
    /// - Parameters:
    ///   - sequences: token ids.
    ///   - adapters: the adapters that are active.
    ///   - body: takes the logits `[rows, vocabulary]` of consecutive rows, in order, or rewards `[rows, 1]`.
    public func forEachLogits(_ sequences: [[Int32]], adapters: [String], _ body: (Tensor) throws -> Void) rethrows {
        let rowsAtATime = 64
        for tokens in sequences where !tokens.isEmpty {
            let states = states(
                tokens, ForwardContext(SequenceLayout([.init(count: tokens.count)]), adapters: adapters))
            for start in stride(from: 0, to: tokens.count, by: rowsAtATime) {
                let rows = (Int32(start)..<Int32(min(start + rowsAtATime, tokens.count))).map { $0 }
                try body(isSequenceClassifier ? rewards(of: states, rows: rows) : logits(of: states, rows: rows))
            }
        }
    }
}
