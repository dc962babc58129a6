import Foundation

// The clipped losses of PPO (Schulman et al. 2017), a token at a time, each with its derivative.

/// `max(−A ρ, −A clip(ρ, 1 − ε, 1 + ε′))` with the ratio `ρ = exp(log π − log π_old)`.
public struct ClippedPolicyLoss: Hashable, Sendable {
    /// ε.
    public var low: Double
    /// ε′; the same as ε but for DAPO's clip-higher.
    public var high: Double

    /// A loss clipped at `1 − low` and `1 + high`.
    public init(low: Double, high: Double) {
        self.low = low
        self.high = high
    }

    /// One token's loss.
    public struct Value {
        /// The loss.
        public var loss: Double
        /// By log π: `−A ρ`, or 0 where the clipped loss is the larger.
        public var derivative: Double
        /// ρ.
        public var ratio: Double
        /// Whether the clipped loss is the larger.
        public var isClipped: Bool
    }

    /// The loss of one token, or of one answer where the ratio is the whole answer's.
    public func callAsFunction(logProbability: Double, old: Double, advantage: Double) -> Value {
        let ratio = exp(logProbability - old)
        let plain = -advantage * ratio
        let clipped = -advantage * min(max(ratio, 1 - low), 1 + high)
        let isClipped = clipped > plain
        return Value(
            loss: max(plain, clipped), derivative: isClipped ? 0 : plain, ratio: ratio, isClipped: isClipped)
    }
}

/// `½ max((v − R)², (clip(v, v_old ± ε) − R)²)`.
public struct ClippedValueLoss: Hashable, Sendable {
    /// ε.
    public var range: Double

    /// A loss clipped at `range` from the old value.
    public init(range: Double) { self.range = range }

    /// The loss of one token with its derivative by v, and whether the clipped loss is the larger.
    public func callAsFunction(value: Double, old: Double, target: Double) -> (
        loss: Double, derivative: Double, isClipped: Bool
    ) {
        let clipped = min(max(value, old - range), old + range)
        let (error, clippedError) = (value - target, clipped - target)
        let isClipped = clippedError * clippedError > error * error
        // Where the clipped loss is the larger, the value is outside its range and does not move it.
        return isClipped
            ? (0.5 * clippedError * clippedError, 0, true) : (0.5 * error * error, error, false)
    }
}
