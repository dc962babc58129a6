import Datasets
import Files
import Models

/// The reward of a model with a score head, read at the last token of each answer.
///
/// Tokens are scored as they are, so the model must have the policy's. It may be the policy's own base with a reward adapter on it.
public struct ModelReward: Reward {
    private let model: CausalLM
    private let adapters: [String]
    private let tokensPerPass: Int
    private let turnEnd: TurnEnd?

    /// Rewards by a model.
    ///
    /// - Parameters:
    ///   - model: has a score head.
    ///   - adapters: those of its adapters that make the reward; no other is active.
    ///   - tokensPerPass: how many tokens are scored at a time; rewards do not depend on it.
    ///   - turnEnd: where rows of training go on after the token that ends an answer, as most templates write a line feed there: it is
    ///     read too, so that rewards are read where they were learnt. Nil to read answers as they are.
    public init(
        model: CausalLM, adapters: [String], tokensPerPass: Int = Evaluator.tokensPerBatch, turnEnd: TurnEnd? = nil
    ) {
        precondition(model.scoreHead != nil && tokensPerPass > 0, "a reward of a model without a score head")
        self.model = model
        self.adapters = adapters
        self.tokensPerPass = tokensPerPass
        self.turnEnd = turnEnd
    }

    /// The rewards. Neighbours with the same prompt share it.
    ///
    /// - Throws: `InputError` for an answer that is too long for the model with its prompt, or has no token with it.
    public func scores(of answers: [GeneratedAnswer]) throws -> [Double] {
        var groups: [(prompt: [Int32], answers: [[Int32]])] = []
        for answer in answers {
            let tokens = read(answer)
            let count = answer.promptTokens.count + tokens.count
            guard count > 0, count <= model.longestSequence else {
                throw InputError(
                    "an answer has \(count) tokens with its prompt, and the reward model reads from 1 to \(model.longestSequence)",
                    hint: "Make the answers shorter, or leave out long prompts")
            }
            if groups.last?.prompt == answer.promptTokens {
                groups[groups.count - 1].answers.append(tokens)
            } else {
                groups.append((answer.promptTokens, [tokens]))
            }
        }
        let examples = groups.enumerated().map { Example(prompt: $1.prompt, answers: $1.answers, row: $0) }
        return RewardScorer(model, adapters: adapters, tokensPerPass: tokensPerPass).rewards(examples).flatMap(\.self)
    }

    /// An answer's tokens, with what the template writes after a turn where one ends in a conversation.
    private func read(_ answer: GeneratedAnswer) -> [Int32] {
        guard let turnEnd, answer.tokens.last == turnEnd.token, answer.promptTokens.contains(turnEnd.token) else {
            return answer.tokens
        }
        return answer.tokens + turnEnd.rest
    }
}
