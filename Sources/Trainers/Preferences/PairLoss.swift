import Foundation

/// The losses of `DPOTrainer`, under TRL's names. `c` and `r` are the log-ratios of policy to reference of the chosen and the rejected
/// answer, `d` their difference after the f-divergence, `σ` the logistic function, `β` ``PairLoss/beta`` and `ε`
/// ``PairLoss/labelSmoothing``.
public enum PairLossType: String, CaseIterable, Sendable {
    /// DPO: `−log σ(βd)` (Rafailov et al. 2023). Label smoothing does not apply, as in TRL: `robust` is the loss that has it.
    case sigmoid
    /// SLiC: `max(0, 1 − βd)` (Zhao et al. 2023; Liu et al. 2023).
    case hinge
    /// IPO: `(c/|c| − r/|r| − 1/2β)²`, with log-ratios a token (Azar et al. 2023).
    case ipo
    /// EXO: `σ(βd)(log σ(βd) − log(1−ε)) + σ(−βd)(log σ(−βd) − log ε)`, ε above 0 (Ji et al. 2024).
    case exoPair = "exo_pair"
    /// NCA: `−log σ(βc) − ½ log σ(−βc) − ½ log σ(−βr)` (Chen et al. 2024).
    case ncaPair = "nca_pair"
    /// Robust DPO: `(−(1−ε) log σ(βd) + ε log σ(−βd)) / (1−2ε)` (Chowdhury et al. 2024).
    case robust
    /// BCO: `−log σ(βc) − log σ(−βr)` (Jung et al. 2024), without the running mean, as in TRL.
    case bcoPair = "bco_pair"
    /// SPPO: `(c − 1/2β)² + (r + 1/2β)²` (Wu et al. 2024).
    case sppoHard = "sppo_hard"
    /// AOT: `−(1−ε) log σ(βs) − ε log σ(−βs)`; s is the difference of the batch's sorted policy margins and sorted reference margins
    /// (Melnyk et al. 2024).
    case aot
    /// AOT: the same; s is the difference of the batch's sorted c and sorted r.
    case aotUnpaired = "aot_unpaired"
    /// APO-zero: `1 − σ(βc) + σ(βr)` (D'Oosterlinck et al. 2024).
    case apoZero = "apo_zero"
    /// APO-down: `σ(βc) + 1 − σ(β(c − r))` (D'Oosterlinck et al. 2024).
    case apoDown = "apo_down"
    /// DiscoPOP: with `m = σ(βd/τ)`, `(1−m)(−log σ(βd)) + m e^−βd` (Lu et al. 2024).
    case discoPOP = "discopop"
    /// The mean of −log p over the tokens of the chosen answers.
    case sft
    /// DPO with log-ratios a token: `−log σ(β(c/|c| − r/|r|))` (Meng et al. 2024).
    case sigmoidNorm = "sigmoid_norm"

    /// Whether the loss compares the pairs of a batch with each other.
    public var couplesBatch: Bool { self == .aot || self == .aotUnpaired }
    /// Whether the loss has a form for divergences other than the reverse KL: those in which the partition function cancels.
    public var takesDivergence: Bool {
        switch self {
        case .sigmoid, .sigmoidNorm, .hinge, .ipo, .exoPair, .robust, .discoPOP, .sft: true
        default: false
        }
    }
    /// Whether the loss reads ``PairLoss/labelSmoothing``.
    public var takesLabelSmoothing: Bool { [.exoPair, .robust, .aot, .aotUnpaired].contains(self) }
}

/// The f-divergence between policy and reference, by its f' of the ratio (Wang et al. 2023).
public enum Divergence: String, CaseIterable, Sendable {
    /// `log t`: what DPO has.
    case reverseKL = "reverse_kl"
    /// `1 − 1/t`.
    case forwardKL = "forward_kl"
    /// `log 2t/(t+1)`.
    case jensenShannon = "js_divergence"
    /// `(t^(α−1) − 1)/(α−1)`.
    case alpha = "alpha_divergence"
}

/// The loss of preference pairs as a function of the tokens' log-probabilities: a weighted sum of ``PairLossType``s.
///
/// Source: TRL 1.16, `DPOTrainer`. Everything is computed in f64.
public struct PairLoss: Sendable, Equatable {
    /// What is added up, each with its weight.
    public var terms: [(type: PairLossType, weight: Double)] = [(.sigmoid, 1)]
    /// The strength of the tie to the reference.
    public var beta = 0.1
    /// The share of labels taken to be wrong; only some losses read it.
    public var labelSmoothing = 0.0
    /// The divergence from the reference.
    public var divergence = Divergence.reverseKL
    /// α of the alpha divergence.
    public var alpha = 0.5
    /// DiscoPOP's temperature.
    public var discoPOPTau = 0.05
    /// LD-DPO: the weight of log-probabilities beyond the shorter answer's length (Liu et al. 2024); nil for 1.
    public var ldAlpha: Double?
    /// WPO: pairs are weighted by how probable their answers are (Zhou et al. 2024).
    public var usesWeighting = false

    /// DPO as its paper has it.
    public init() {}

    /// Settings with the same numbers.
    public static func == (a: PairLoss, b: PairLoss) -> Bool {
        a.terms.count == b.terms.count && zip(a.terms, b.terms).allSatisfy { $0 == $1 } && a.beta == b.beta
            && a.labelSmoothing == b.labelSmoothing && a.divergence == b.divergence && a.alpha == b.alpha
            && a.discoPOPTau == b.discoPOPTau && a.ldAlpha == b.ldAlpha && a.usesWeighting == b.usesWeighting
    }

    /// Whether a batch's loss is more than the sum of those of its pairs.
    public var couplesBatch: Bool {
        terms.contains { $0.type.couplesBatch || ($0.type == .sft && usesWeighting) }
    }

    /// A pair as the losses see it.
    struct Pair {
        var chosen: Side
        var rejected: Side

        /// One answer: its weighted sums of log-probabilities, its tokens' weights, its length.
        struct Side {
            var policy: Double
            var reference: Double
            var weights: [Float]
            var ratio: Double { policy - reference }
            var count: Double { Double(max(1, weights.count)) }
        }
    }

    /// A pair's sums. Tokens beyond the shorter answer's length count ``ldAlpha``.
    func pair(_ chosen: AnswerScores, _ rejected: AnswerScores) -> Pair {
        let shared = min(chosen.count, rejected.count)
        func side(_ answer: AnswerScores) -> Pair.Side {
            let weights = (0..<answer.count).map { $0 < shared ? 1 : Float(ldAlpha ?? 1) }
            func sum(_ values: [Float]) -> Double {
                zip(values, weights).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            }
            return Pair.Side(policy: sum(answer.policy), reference: sum(answer.reference), weights: weights)
        }
        return Pair(chosen: side(chosen), rejected: side(rejected))
    }

    /// One term of one pair; not for those that couple the batch, and not for ``PairLossType/sft``.
    func term(_ type: PairLossType, _ pair: Pair) -> Dual {
        let c = Dual(pair.chosen.ratio, chosen: 1)
        let r = Dual(pair.rejected.ratio, rejected: 1)
        let (chosen, rejected) = (score(c), score(r))
        let difference = beta * (chosen - rejected)
        let lengths = (chosen: pair.chosen.count, rejected: pair.rejected.count)
        let perToken = 1 / lengths.chosen * chosen - 1 / lengths.rejected * rejected
        switch type {
        case .sigmoid: return -difference.logSigmoid
        case .hinge: return (1 - difference).positivePart
        case .ipo: return (perToken - 1 / (2 * beta)).squared
        case .exoPair:
            let (won, lost) = (difference, -difference)
            return won.sigmoid * (won.logSigmoid - log1p(-labelSmoothing))
                + lost.sigmoid * (lost.logSigmoid - log(labelSmoothing))
        case .ncaPair:
            return -(beta * c).logSigmoid - 0.5 * (-beta * c).logSigmoid - 0.5 * (-beta * r).logSigmoid
        case .robust:
            let clean = -(1 - labelSmoothing) * difference.logSigmoid
            return 1 / (1 - 2 * labelSmoothing) * (clean + labelSmoothing * (-difference).logSigmoid)
        case .bcoPair: return -(beta * c).logSigmoid - (-beta * r).logSigmoid
        case .sppoHard: return (c - 0.5 / beta).squared + (r + 0.5 / beta).squared
        case .apoZero: return 1 - (beta * c).sigmoid + (beta * r).sigmoid
        case .apoDown: return (beta * c).sigmoid + (1 - (beta * (c - r)).sigmoid)
        case .discoPOP:
            let mixing = (1 / discoPOPTau * difference).sigmoid
            return (1 - mixing) * -difference.logSigmoid + mixing * (-difference).exponential
        case .sigmoidNorm: return -(beta * perToken).logSigmoid
        case .aot, .aotUnpaired, .sft: preconditionFailure("\(type) is no loss of one pair")
        }
    }

    /// f' of the ratio whose logarithm is given.
    private func score(_ ratio: Dual) -> Dual {
        switch divergence {
        case .reverseKL: return ratio
        case .forwardKL: return 1 - (-ratio).exponential
        case .jensenShannon: return ratio.logSigmoid + log(2)
        case .alpha:
            // The limit at α = 1 is the reverse KL.
            guard abs(alpha - 1) >= 1e-6 else { return ratio }
            return 1 / (alpha - 1) * (((alpha - 1) * ratio).capped(at: 80).exponential - 1)
        }
    }

    /// The terms of AOT: of each rank, the loss and the pairs whose chosen and rejected answers it pulls on.
    func sortedTerms(_ type: PairLossType, _ pairs: [Pair]) -> [(loss: Dual, chosen: Int, rejected: Int)] {
        func order(_ values: [Double]) -> [Int] {
            values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
        }
        func loss(_ difference: Double) -> Dual {
            let x = beta * Dual(difference, chosen: 1, rejected: -1)
            return -(1 - labelSmoothing) * x.logSigmoid - labelSmoothing * (-x).logSigmoid
        }
        if type == .aotUnpaired {
            let chosen = order(pairs.map(\.chosen.ratio))
            let rejected = order(pairs.map(\.rejected.ratio))
            return zip(chosen, rejected).map { (loss(pairs[$0].chosen.ratio - pairs[$1].rejected.ratio), $0, $1) }
        }
        let margins = pairs.map { $0.chosen.policy - $0.rejected.policy }
        let references = pairs.map { $0.chosen.reference - $0.rejected.reference }
        return zip(order(margins), order(references)).map { (loss(margins[$0] - references[$1]), $0, $0) }
    }
}
