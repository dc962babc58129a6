import Datasets

/// What is made smaller on a rollout, as a function of the log-probabilities and values of the answers to one prompt.
public protocol RolloutLoss: Sendable {
    /// Whether a term of it is in the entropies of the next-token distributions.
    var readsEntropies: Bool { get }
    /// What one optimizer step's means are over: a count a mean.
    func count(_ examples: [Example]) -> Int
    /// The same loss with the weight of the divergence that the rollouts steer, where that is a part of it.
    func steered(to klCoefficient: Double) -> Self
    /// The losses of the answers to one prompt.
    ///
    /// - Parameters:
    ///   - answers: those that are trained on.
    ///   - scale: one over ``count(_:)`` of the step.
    /// - Returns: of each answer its loss with its gradients; where a loss is of several, the first one's is the whole.
    func callAsFunction(_ answers: [CurrentAnswer], scale: Double) -> [AnswerLoss]
}

/// An answer as a step sees it.
public struct CurrentAnswer {
    /// `log p` of its tokens now.
    public var policy: [Float]
    /// Of its next-token distributions now.
    public var entropies: [Float]
    /// What the value head expects now; empty where there is none.
    public var values: [Float]
    /// What was known of it when it was judged.
    public var judged: JudgedAnswer

    /// Makes one.
    public init(policy: [Float], entropies: [Float] = [], values: [Float] = [], judged: JudgedAnswer) {
        self.policy = policy
        self.entropies = entropies
        self.values = values
        self.judged = judged
    }
}

/// The loss of one answer with its gradients, a number a token.
public struct AnswerLoss {
    /// The loss.
    public var loss = 0.0
    /// By `log p` of each token.
    public var gradient: [Float]
    /// By each token's entropy; empty where the loss has no such term.
    public var entropyGradient: [Float] = []
    /// By the value before each token.
    public var valueGradient: [Float]
    /// For the metrics.
    var sums = MetricSums()
}

extension MetricSums {
    mutating func add(_ other: MetricSums) {
        for (name, value) in other.values { add(name, value.sum, count: value.count) }
    }

    /// A token's ratio, and half the square of how far `log p` is from that of the policy that wrote it.
    mutating func addDrift(_ difference: Double, ratio: Double) {
        add("val/ratio", ratio)
        add("policy/approxkl_avg", 0.5 * difference * difference)
    }
}
