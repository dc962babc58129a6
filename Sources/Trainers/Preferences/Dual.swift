import Foundation

/// A number with its derivatives by the log-ratio of the chosen and of the rejected answer: preference losses are written once, as in
/// their papers, and their gradients follow.
struct Dual {
    var value: Double
    /// `∂ value / ∂ chosen`.
    var chosen: Double
    /// `∂ value / ∂ rejected`.
    var rejected: Double

    init(_ value: Double, chosen: Double = 0, rejected: Double = 0) {
        self.value = value
        self.chosen = chosen
        self.rejected = rejected
    }

    /// `f(self)`, of which the derivative is `slope`.
    private func mapped(_ value: Double, slope: Double) -> Dual {
        Dual(value, chosen: slope * chosen, rejected: slope * rejected)
    }

    static func + (a: Dual, b: Dual) -> Dual {
        Dual(a.value + b.value, chosen: a.chosen + b.chosen, rejected: a.rejected + b.rejected)
    }
    static func * (a: Dual, b: Dual) -> Dual {
        Dual(
            a.value * b.value, chosen: a.chosen * b.value + a.value * b.chosen,
            rejected: a.rejected * b.value + a.value * b.rejected)
    }
    static func * (factor: Double, a: Dual) -> Dual { a.mapped(factor * a.value, slope: factor) }
    static func + (a: Dual, b: Double) -> Dual { a.mapped(a.value + b, slope: 1) }
    static func - (a: Dual, b: Double) -> Dual { a + -b }
    static func - (a: Double, b: Dual) -> Dual { -b + a }
    static func - (a: Dual, b: Dual) -> Dual { a + -b }
    static prefix func - (a: Dual) -> Dual { -1 * a }

    /// `e^x`.
    var exponential: Dual { mapped(exp(value), slope: exp(value)) }
    /// `1 / (1 + e^-x)`.
    var sigmoid: Dual {
        let s = Dual.sigmoid(value)
        return mapped(s, slope: s * Dual.sigmoid(-value))
    }
    /// `log(1 / (1 + e^-x))`.
    var logSigmoid: Dual { mapped(min(value, 0) - log1p(exp(-abs(value))), slope: Dual.sigmoid(-value)) }
    /// `max(0, x)`.
    var positivePart: Dual { value > 0 ? self : Dual(0) }
    /// `x²`.
    var squared: Dual { mapped(value * value, slope: 2 * value) }
    /// `min(x, limit)`.
    func capped(at limit: Double) -> Dual { value < limit ? self : Dual(limit) }

    private static func sigmoid(_ x: Double) -> Double {
        x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))
    }
}
