import Foundation

/// The losses of `CPOTrainer`, under TRL's names. `c` and `r` are the log-probabilities of the chosen and the rejected answer under the
/// policy, there is no reference; `d` is their difference.
public enum ContrastiveLossType: String, CaseIterable, Sendable {
    /// CPO: `−(1−ε) log σ(βd) − ε log σ(−βd)` (Xu et al. 2024).
    case sigmoid
    /// `max(0, 1 − βd)`.
    case hinge
    /// `(d − 1/2β)²`, with log-probabilities a token.
    case ipo
    /// SimPO: sigmoid of `d − γ/β`, with log-probabilities a token (Meng et al. 2024).
    case simpo

    /// Whether log-probabilities are means over an answer's tokens instead of sums.
    var takesMeans: Bool { self == .ipo || self == .simpo }
}

/// The loss of preference pairs without a reference model, plus the negative log-likelihood of the chosen answers. Source: TRL 1.16,
/// `CPOTrainer`.
public struct ContrastiveLoss: Sendable, Equatable {
    /// Which loss.
    public var type = ContrastiveLossType.sigmoid
    /// How sharply the answers are told apart.
    public var beta = 0.1
    /// The share of labels taken to be wrong; read by `sigmoid` and `simpo`.
    public var labelSmoothing = 0.0
    /// The weight of the mean of −log p over the tokens of the chosen answers.
    public var likelihoodWeight = 1.0
    /// SimPO's margin γ.
    public var gamma = 0.5
    /// AlphaPO: rewards are `(1 − p^−α)/α`; 0 for log p (Gupta et al. 2025).
    public var alpha = 0.0

    /// CPO as its paper has it.
    public init() {}

    /// The loss of a batch of pairs.
    ///
    /// - Parameters:
    ///   - answers: of each pair, the chosen and the rejected answer's scores.
    ///   - pairScale: what a pair counts: one over the number of pairs of the optimizer step.
    ///   - tokenScale: what a chosen token counts in the likelihood: one over their number.
    /// - Returns: the loss, its gradient and metrics.
    public func callAsFunction(_ answers: [[AnswerScores]], pairScale: Double, tokenScale: Double) -> PairLoss.Result {
        var loss = 0.0
        var sums = MetricSums()
        let gradient = answers.map { pair -> [[Float]] in
            let counts = pair.map { type.takesMeans ? Double(max(1, $0.count)) : 1 }
            let logps = zip(pair, counts).map { $0.policy.total / $1 }
            let (chosen, rejected) = (reward(Dual(logps[0], chosen: 1)), reward(Dual(logps[1], rejected: 1)))
            let term = term(chosen - rejected)
            let likelihood = likelihoodWeight * tokenScale
            loss += pairScale * term.value - likelihood * pair[0].policy.total
            sums.addPair(
                chosen: beta * chosen.value, rejected: beta * rejected.value, logps: (logps[0], logps[1]))
            sums.addTokens(chosen: pair[0], rejected: pair[1])
            sums.add("nll_loss", -pair[0].policy.total, count: Double(pair[0].count))
            let slopes = [pairScale * term.chosen / counts[0] - likelihood, pairScale * term.rejected / counts[1]]
            return zip(pair, slopes).map { [Float](repeating: Float($1), count: $0.count) }
        }
        return PairLoss.Result(loss: loss, gradient: gradient, sums: sums.values)
    }

    private func reward(_ logp: Dual) -> Dual {
        alpha == 0 ? logp : 1 / alpha * (1 - (-alpha * logp).exponential)
    }

    private func term(_ difference: Dual) -> Dual {
        func smoothed(_ x: Dual) -> Dual {
            -(1 - labelSmoothing) * x.logSigmoid - labelSmoothing * (-x).logSigmoid
        }
        switch type {
        case .sigmoid: return smoothed(beta * difference)
        case .simpo: return smoothed(beta * (difference - gamma / beta))
        case .hinge: return (1 - beta * difference).positivePart
        case .ipo: return (difference - 1 / (2 * beta)).squared
        }
    }
}

/// ORPO: the mean of −log p over prompt and chosen answer, minus `β log σ(log odds(c) − log odds(r))`, where c and r are the mean
/// log-probabilities of a token and `odds(x) = eˣ/(1 − eˣ)` (Hong et al. 2024). Source: TRL 1.16, `ORPOTrainer`.
public struct OddsRatioLoss: Sendable, Equatable {
    /// The weight of the odds ratio.
    public var beta = 0.1

    /// ORPO as TRL has it.
    public init() {}

    /// The loss of a batch of pairs.
    ///
    /// - Parameters:
    ///   - answers: of each pair, the chosen and the rejected answer's scores.
    ///   - prompts: of each pair, the log-probabilities of the prompt's tokens, all but the first.
    ///   - pairScale: what a pair counts: one over the number of pairs of the optimizer step.
    ///   - tokenScale: what a token of a prompt or a chosen answer counts: one over their number.
    /// - Returns: the loss, its gradient and metrics; a token of a prompt has the gradient `−tokenScale`.
    public func callAsFunction(
        _ answers: [[AnswerScores]], prompts: [[Float]], pairScale: Double, tokenScale: Double
    ) -> PairLoss.Result {
        var loss = 0.0
        var sums = MetricSums()
        let gradient = zip(answers, prompts).map { pair, prompt -> [[Float]] in
            let counts = pair.map { Double(max(1, $0.count)) }
            let logps = zip(pair, counts).map { $0.policy.total / $1 }
            let odds = logOdds(Dual(logps[0], chosen: 1)) - logOdds(Dual(logps[1], rejected: 1))
            let ratio = odds.logSigmoid
            let likelihood = prompt.total + pair[0].policy.total
            loss -= pairScale * beta * ratio.value + tokenScale * likelihood
            sums.addPair(
                chosen: beta * logps[0], rejected: beta * logps[1], logps: (logps[0], logps[1]))
            sums.addTokens(chosen: pair[0], rejected: pair[1])
            sums.add("nll_loss", -likelihood, count: Double(prompt.count + pair[0].count))
            sums.add("log_odds_ratio", ratio.value)
            sums.add("log_odds_chosen", odds.value)
            let scale = -pairScale * beta
            let slopes = [scale * ratio.chosen / counts[0] - tokenScale, scale * ratio.rejected / counts[1]]
            return zip(pair, slopes).map { [Float](repeating: Float($1), count: $0.count) }
        }
        return PairLoss.Result(loss: loss, gradient: gradient, sums: sums.values)
    }

    /// `x − log(1 − eˣ)`.
    private func logOdds(_ x: Dual) -> Dual {
        // A certain answer has no finite odds.
        let value = min(x.value, -1e-9)
        // The two forms lose no digits on either side of −log 2.
        let log1mexp = value > -log(2) ? log(-expm1(value)) : log1p(-exp(value))
        // d (x − log(1 − eˣ)) / dx = 1 / (1 − eˣ)
        let slope = 1 / -expm1(value)
        return Dual(value - log1mexp, chosen: slope * x.chosen, rejected: slope * x.rejected)
    }
}
