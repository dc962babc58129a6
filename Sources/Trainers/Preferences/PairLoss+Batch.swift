import Foundation

extension PairLoss {
    /// A batch's loss and how it changes with each token.
    public struct Result {
        /// The scaled loss.
        public var loss: Double
        /// `∂ loss / ∂ log p` of each token of each pair's chosen and rejected answer.
        public var gradient: [[[Float]]]
        /// Sums for the metrics, under TRL's names.
        public var sums: [String: (sum: Double, count: Double)]
    }

    /// The loss of a batch of pairs.
    ///
    /// - Parameters:
    ///   - answers: of each pair, the chosen and the rejected answer's scores.
    ///   - pairScale: what a pair counts: one over the number of pairs of the optimizer step.
    ///   - tokenScale: what a chosen token counts in ``PairLossType/sft``: one over their number.
    /// - Returns: the loss, its gradient and metrics.
    public func callAsFunction(_ answers: [[AnswerScores]], pairScale: Double, tokenScale: Double) -> Result {
        let pairs = answers.map { pair($0[0], $0[1]) }
        let weights = answers.map(weight)
        var slopes = [(chosen: Double, rejected: Double)](repeating: (0, 0), count: pairs.count)
        var tokenSlope = 0.0
        var loss = 0.0
        for (type, weight) in terms {
            let scale = weight * pairScale
            switch type {
            case .sft:
                let meanWeight = weights.reduce(0, +) / Double(max(1, weights.count))
                let slope = weight * tokenScale * meanWeight
                loss -= slope * answers.reduce(0) { $0 + $1[0].policy.total }
                tokenSlope -= slope
            case .aot, .aotUnpaired:
                for (term, chosen, rejected) in sortedTerms(type, pairs) {
                    loss += scale * term.value
                    slopes[chosen].chosen += scale * term.chosen
                    slopes[rejected].rejected += scale * term.rejected
                }
            default:
                for (index, pair) in pairs.enumerated() {
                    let term = term(type, pair)
                    let scale = scale * weights[index]
                    loss += scale * term.value
                    slopes[index].chosen += scale * term.chosen
                    slopes[index].rejected += scale * term.rejected
                }
            }
        }
        let gradient = zip(pairs, slopes).map { pair, slope in
            [
                pair.chosen.weights.map { Float(slope.chosen * Double($0) + tokenSlope) },
                pair.rejected.weights.map { Float(slope.rejected * Double($0)) },
            ]
        }
        return Result(loss: loss, gradient: gradient, sums: sums(answers, pairs))
    }

    /// WPO's weight of a pair, `exp(mean(log p − log Σ p²))` over the tokens of each answer, multiplied; without a gradient.
    private func weight(_ answers: [AnswerScores]) -> Double {
        guard usesWeighting else { return 1 }
        return answers.reduce(1) { product, answer in
            product * exp((answer.policy.total - answer.logSumSquares.total) / Double(max(1, answer.count)))
        }
    }

    private func sums(_ answers: [[AnswerScores]], _ pairs: [Pair]) -> [String: (sum: Double, count: Double)] {
        var sums = MetricSums()
        for pair in pairs {
            sums.addPair(
                chosen: beta * pair.chosen.ratio, rejected: beta * pair.rejected.ratio,
                logps: (pair.chosen.policy, pair.rejected.policy))
            sums.add("logps/ref_chosen", pair.chosen.reference)
        }
        for pair in answers { sums.addTokens(chosen: pair[0], rejected: pair[1]) }
        return sums.values
    }
}

/// Sums over a batch that become a step's metrics, under TRL's names: each metric is the ratio of its totals.
struct MetricSums {
    private(set) var values: [String: (sum: Double, count: Double)] = [:]

    mutating func add(_ name: String, _ sum: Double, count: Double = 1) {
        values[name, default: (0, 0)].sum += sum
        values[name, default: (0, 0)].count += count
    }

    /// A pair's rewards and log-probabilities.
    mutating func addPair(chosen: Double, rejected: Double, logps: (chosen: Double, rejected: Double)) {
        add("rewards/chosen", chosen)
        add("rewards/rejected", rejected)
        add("rewards/accuracies", chosen > rejected ? 1 : 0)
        add("rewards/margins", chosen - rejected)
        add("logps/chosen", logps.chosen)
        add("logps/rejected", logps.rejected)
    }

    /// What is counted by token: of both answers the entropy, of each the logits, of the chosen one how often it is the most probable.
    mutating func addTokens(chosen: AnswerScores, rejected: AnswerScores) {
        addLogits(chosen, isChosen: true)
        addLogits(rejected, isChosen: false)
        add("mean_token_accuracy", chosen.hits.total, count: Double(chosen.count))
    }

    /// The entropy and the mean logits of an answer's tokens.
    mutating func addLogits(_ answer: AnswerScores, isChosen: Bool) {
        add("entropy", answer.entropies.total, count: Double(answer.count))
        add(isChosen ? "logits/chosen" : "logits/rejected", answer.meanLogits.total, count: Double(answer.count))
    }
}
