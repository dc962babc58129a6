import Datasets
import Layers
import Models
import Tensors

/// Reward modelling: the mean over pairs of a ``RewardLoss``, of rewards read at the last token of each answer.
///
/// Its terms are the pairs.
public struct RewardObjective: Objective {
    private let model: CausalLM
    private let rewardLoss: RewardLoss

    /// Trains `model`, which has a score head, on pairs.
    public init(_ model: CausalLM, loss: RewardLoss = RewardLoss()) {
        self.model = model
        rewardLoss = loss
    }

    /// The number of pairs.
    public func counts(_ batch: Batch) -> [Int] { [batch.examples.count] }

    /// The scaled loss, with TRL's metrics beside it. The smallest and the largest reward are those of the whole step.
    public func loss(
        _ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext
    ) -> ObjectiveResult {
        let pass = RewardPass(model, batch.examples, makeContext)
        let pairs = pass.rewards.map { (chosen: $0[0], rejected: $0[1]) }
        let margins = batch.examples.map { Double($0.judgement.margin ?? 0) }
        let (value, gradient) = rewardLoss(pairs, margins: margins, pairScale: scale[0])
        var sums = MetricSums()
        for pair in pairs {
            sums.add("accuracy", pair.chosen > pair.rejected ? 1 : 0)
            sums.add("margin", pair.chosen - pair.rejected)
            sums.add("mean_reward", pair.chosen + pair.rejected, count: 2)
        }
        var result = ObjectiveResult(
            loss: pass.loss(value, gradient: gradient.map { [$0.chosen, $0.rejected] }), of: batch, value: value,
            share: scale[0], sums: sums.values, likelihoods: [])
        let rewards = pass.rewards.flatMap(\.self)
        // A range of what is not a number cannot be; such a loss ends the run.
        if let least = rewards.min(), let most = rewards.max(), least <= most { result.ranges["reward"] = least...most }
        return result
    }

    /// The loss and its metrics over all pairs; a reward model says nothing of likelihoods.
    public func evaluate(_ examples: [Example], adapters: [String]) -> EvaluationResult {
        var result = evaluationOfLoss(examples, adapters: adapters)
        result.rows = examples.count
        return result
    }
}
