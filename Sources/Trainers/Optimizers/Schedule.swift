import Foundation

/// How the learning rate changes over a run: the factors of transformers' schedules, with a linear warm-up before each.
///
/// The factor of step k, counted from 0, applies to step k: the first step of a warm-up has rate 0.
public struct Schedule: Hashable, Sendable {
    /// What follows the warm-up.
    public enum Shape: Hashable, Sendable {
        /// 1.
        case constant
        /// Down to 0 at the last step, in a straight line.
        case linear
        /// Down to `minimum` at the last step, along half a cosine.
        case cosine(minimum: Double)
        /// `1 / sqrt(step / timescale)`, where the timescale is the warm-up, or 10,000 steps without one.
        case inverseSquareRoot
        /// 1, and in the last `decaySteps` down to `minimum` along half a cosine.
        case warmupStableDecay(decaySteps: Int, minimum: Double)
    }

    /// What follows the warm-up.
    public var shape: Shape
    /// Steps over which the factor rises from 0 to 1.
    public var warmupSteps: Int
    /// The steps of the whole run.
    public var totalSteps: Int

    /// Makes a schedule.
    public init(_ shape: Shape, warmupSteps: Int, totalSteps: Int) {
        self.shape = shape
        self.warmupSteps = warmupSteps
        self.totalSteps = totalSteps
    }

    /// A number of steps given as such (1 or more) or as a share of the whole run (less than 1), rounded up.
    public static func steps(_ value: Double, of total: Int) -> Int {
        value < 1 ? Int((value * Double(total)).rounded(.up)) : Int(min(value, 1e15))
    }

    /// The factor of a step, counted from 0.
    public func factor(_ step: Int) -> Double {
        if step < warmupSteps { return Double(step) / Double(max(1, warmupSteps)) }
        let past = Double(step - warmupSteps)
        let rest = Double(max(1, totalSteps - warmupSteps))
        switch shape {
        case .constant: return 1
        case .linear: return max(0, Double(totalSteps - step) / rest)
        case .cosine(let minimum): return minimum + (1 - minimum) * Self.halfCosine(past / rest)
        case .inverseSquareRoot:
            let timescale = warmupSteps > 0 ? Double(warmupSteps) : 10000
            return 1 / ((past + timescale) / timescale).squareRoot()
        case .warmupStableDecay(let decaySteps, let minimum):
            let stable = totalSteps - warmupSteps - decaySteps
            if step < warmupSteps + stable { return 1 }
            guard step < totalSteps else { return minimum }
            let progress = (past - Double(stable)) / Double(max(1, decaySteps))
            return minimum + (1 - minimum) * Self.halfCosine(progress)
        }
    }

    private static func halfCosine(_ progress: Double) -> Double { max(0, 0.5 * (1 + cos(.pi * progress))) }
}
