import Foundation
import Tensors

/// Rotary position embedding (Su et al. 2021): channel pair i of a head turns by `position · frequency[i]`.
public struct RotaryEmbedding: Sendable {
    /// How frequencies are changed so that a model reads further than it was trained to.
    public enum Scaling: Hashable, Sendable {
        /// Unchanged.
        case none
        /// All positions divided by a factor (Chen et al. 2023).
        case linear(factor: Double)
        /// Llama 3.1: long wavelengths divided by a factor, short ones kept, those between blended.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalPositions: Int)
        /// YaRN (Peng et al. 2023): a ramp between kept and divided frequencies, and attention scaled by `attentionFactor`.
        case yarn(
            factor: Double, betaFast: Double, betaSlow: Double, originalPositions: Int, attentionFactor: Double,
            truncates: Bool)
    }

    /// Radians a position for each pair, `headDimension / 2` of them.
    public let frequencies: [Double]
    /// Multiplies cosines and sines: 1, but for YaRN.
    public let scale: Double

    /// Computes the frequencies `theta^(-2i/d)`, scaled.
    public init(headDimension: Int, theta: Double, scaling: Scaling = .none) {
        let base = (0..<headDimension / 2).map { pow(theta, -Double(2 * $0) / Double(headDimension)) }
        var scale = 1.0
        switch scaling {
        case .none: frequencies = base
        case .linear(let factor): frequencies = base.map { $0 / factor }
        case .llama3(let factor, let low, let high, let original):
            frequencies = base.map { frequency in
                let wavelengths = Double(original) * frequency / (2 * .pi)
                // Fewer than `low` wavelengths in the original context: divide; more than `high`: keep; between: blend.
                let blend = min(1, max(0, (wavelengths - low) / (high - low)))
                return (1 - blend) * frequency / factor + blend * frequency
            }
        case .yarn(let factor, let fast, let slow, let original, let attentionFactor, let truncates):
            func pair(turning turns: Double) -> Double {
                Double(headDimension) * log(Double(original) / (turns * 2 * .pi)) / (2 * log(theta))
            }
            var (low, high) = (pair(turning: fast), pair(turning: slow))
            if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
            low = max(low, 0)
            high = min(high, Double(headDimension - 1))
            if low == high { high += 0.001 }
            frequencies = base.enumerated().map { index, frequency in
                let ramp = min(1, max(0, (Double(index) - low) / (high - low)))
                return frequency / factor * ramp + frequency * (1 - ramp)
            }
            scale = attentionFactor
        }
        self.scale = scale
    }

    /// YaRN's own attention factor for a scaling factor, `0.1 · m · ln(factor) + 1`; 1 where nothing is stretched.
    public static func yarnAttentionFactor(_ factor: Double, multiplier: Double = 1) -> Double {
        factor <= 1 ? 1 : 0.1 * multiplier * log(factor) + 1
    }

    /// The angles of the rows of a batch.
    public func angles(_ positions: [Int32]) -> RotaryAngles {
        RotaryAngles(positions: positions, frequencies: frequencies, scale: scale)
    }
}
