import Files

/// An answer of a model, to be scored.
public struct GeneratedAnswer: Hashable, Sendable {
    /// The prompt as the model read it, as token ids.
    public var promptTokens: [Int32]
    /// The answer's token ids; the one that ended it is the last.
    public var tokens: [Int32]
    /// The prompt's text: the user's words, or the last of them in a conversation.
    public var prompt: String
    /// The answer's text, without special tokens.
    public var text: String
    /// What the row says the answer should be; nil where it says nothing.
    public var reference: String?
    /// Whether a stop token ended it, and not the limit.
    public var isStopped: Bool

    /// Makes an answer.
    public init(
        promptTokens: [Int32] = [], tokens: [Int32] = [], prompt: String, text: String, reference: String? = nil,
        isStopped: Bool = true
    ) {
        self.promptTokens = promptTokens
        self.tokens = tokens
        self.prompt = prompt
        self.text = text
        self.reference = reference
        self.isStopped = isStopped
    }
}

/// What tells good answers from bad ones.
public protocol Reward {
    /// One finite number an answer, a larger one for a better answer.
    ///
    /// - Throws: what keeps it from scoring.
    func scores(of answers: [GeneratedAnswer]) throws -> [Double]
}

/// Rewards under the names that metrics have, each with its weight: `Σ weight · score`.
public struct RewardMixture {
    /// One of them.
    public struct Part {
        /// What metrics call it.
        public var name: String
        /// What its scores are multiplied by.
        public var weight: Double
        /// What scores.
        public var reward: any Reward

        /// Makes a part.
        public init(name: String, weight: Double = 1, reward: any Reward) {
            self.name = name
            self.weight = weight
            self.reward = reward
        }
    }

    /// The parts, in order.
    public let parts: [Part]

    /// Mixes rewards.
    public init(_ parts: [Part]) {
        precondition(!parts.isEmpty, "a mixture of no rewards")
        self.parts = parts
    }

    /// The sum for each answer, and what each part gave, unweighted.
    ///
    /// - Throws: `RunError` where a part gives another number of scores, or one that is not finite; what a part throws.
    public func scores(of answers: [GeneratedAnswer]) throws -> (total: [Double], parts: [[Double]]) {
        let scores = try parts.map { part in
            let scores = try part.reward.scores(of: answers)
            guard scores.count == answers.count else {
                throw RunError(
                    "the reward \"\(part.name)\" gave \(scores.count) scores for \(answers.count) answers")
            }
            if let at = scores.firstIndex(where: { !$0.isFinite }) {
                throw RunError("the reward \"\(part.name)\" gave \(scores[at]) for answer \(at + 1)")
            }
            return scores
        }
        let total = answers.indices.map { index in
            zip(parts, scores).reduce(0) { $0 + $1.0.weight * $1.1[index] }
        }
        return (total, scores)
    }
}
