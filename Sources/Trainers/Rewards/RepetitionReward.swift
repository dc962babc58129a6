/// The share of an answer's runs of n words that are not said again: 1 where nothing is repeated, towards 0 for a loop.
public struct RepetitionReward: Reward {
    private let words: Int

    /// Compares runs of so many words.
    public init(words: Int) {
        precondition(words > 0, "runs of \(words) words")
        self.words = words
    }

    /// Distinct runs over runs; 1 for an answer too short to hold one.
    public func scores(of answers: [GeneratedAnswer]) -> [Double] {
        answers.map { answer in
            let said = answer.text.lowercased().split(whereSeparator: \.isWhitespace)
            guard said.count >= words else { return 1 }
            let runs = (0...said.count - words).map { said[$0..<$0 + words] }
            return Double(Set(runs).count) / Double(runs.count)
        }
    }
}
