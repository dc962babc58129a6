import Files
import Foundation

/// 1 where the answer is the row's reference, white space around both left out, else 0.
public struct ExactMatchReward: Reward {
    /// Makes it.
    public init() {}

    /// Whether the answers are what their rows say.
    ///
    /// - Throws: `InputError` for a row without a reference.
    public func scores(of answers: [GeneratedAnswer]) throws -> [Double] {
        try answers.map { answer in
            guard let reference = answer.reference else {
                throw InputError(
                    "exact_match needs a reference in every row: the prompt \"\(answer.prompt.prefix(60))\" has none")
            }
            let (text, wanted) = (answer.text.trimmed, reference.trimmed)
            return text == wanted ? 1 : 0
        }
    }
}

extension String {
    fileprivate var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
