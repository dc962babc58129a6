/// 1 where an answer's length lies in a window, else 0.
public struct LengthReward: Reward {
    /// What is counted.
    public enum Unit: String, CaseIterable, Sendable {
        /// Runs of anything but white space.
        case words
        /// Characters as a reader sees them.
        case characters
        /// The model's tokens, the one that ended the answer included.
        case tokens
    }

    private let window: ClosedRange<Int>
    private let unit: Unit

    /// Wants lengths in a window, both ends included.
    public init(_ window: ClosedRange<Int>, unit: Unit) {
        self.window = window
        self.unit = unit
    }

    /// Whether the lengths are in the window.
    public func scores(of answers: [GeneratedAnswer]) -> [Double] {
        answers.map { window.contains(length(of: $0)) ? 1 : 0 }
    }

    private func length(of answer: GeneratedAnswer) -> Int {
        switch unit {
        case .words: answer.text.split(whereSeparator: \.isWhitespace).count
        case .characters: answer.text.count
        case .tokens: answer.tokens.count
        }
    }
}
