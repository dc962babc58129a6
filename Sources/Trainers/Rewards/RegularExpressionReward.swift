import Files

/// 1 where a regular expression has a match in the answer, else 0.
public struct RegularExpressionReward: Reward {
    private let expression: RegularExpression

    /// Looks for `expression` anywhere in an answer; `^` and `$` stand for its ends.
    public init(_ expression: RegularExpression) { self.expression = expression }

    /// Whether there is a match.
    public func scores(of answers: [GeneratedAnswer]) throws -> [Double] {
        try answers.map { try expression.matches(in: $0.text) ? 1 : 0 }
    }
}
