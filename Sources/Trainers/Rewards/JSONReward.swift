import Files

/// 1 where the answer is one valid JSON value and nothing else but white space, else 0.
public struct JSONReward: Reward {
    /// Makes it.
    public init() {}

    /// Whether the answers are JSON.
    public func scores(of answers: [GeneratedAnswer]) -> [Double] {
        answers.map { (try? JSON(parsing: $0.text)) == nil ? 0 : 1 }
    }
}
