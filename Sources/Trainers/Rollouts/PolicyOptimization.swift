import Datasets
import Layers
import Tensors

/// Policy optimisation on rollouts: PPO with a value head, and GRPO, RLOO and online DPO without one; they differ in their
/// ``RolloutLoss`` and in the ``Credit`` of the rollouts.
public struct PolicyOptimization: Objective {
    private let policy: Policy
    private let rollouts: Rollouts
    private let loss: any RolloutLoss

    /// Trains a policy on what it wrote.
    public init(_ policy: Policy, _ rollouts: Rollouts, loss: any RolloutLoss) {
        self.policy = policy
        self.rollouts = rollouts
        self.loss = loss
    }

    /// What the loss is a mean over.
    public func counts(_ batch: Batch) -> [Int] { [loss.count(batch.examples)] }

    /// The scaled sum over the batch's answers.
    public func loss(
        _ batch: Batch, scale: [Double], _ makeContext: (SequenceLayout) -> ForwardContext
    ) -> ObjectiveResult {
        let pass = PolicyPass(
            policy, batch.examples, sharedPrefix: rollouts.sharedPrefix,
            expectsEntropies: loss.readsEntropies, makeContext)
        let loss = loss.steered(to: rollouts.controller.coefficient)
        var total = 0.0
        var sums = MetricSums()
        var gradient: [[[Float]]] = []
        var entropyGradient: [[[Float]]] = []
        var valueGradient: [[[Float]]] = []
        for (index, example) in batch.examples.enumerated() {
            let answers = rollouts.answers(of: example).enumerated().map { answer, judged in
                CurrentAnswer(
                    policy: pass.logProbabilities[index][answer], entropies: pass.entropies[index][answer],
                    values: pass.values.isEmpty ? [] : pass.values[index][answer], judged: judged)
            }
            let results = loss(answers, scale: scale[0])
            gradient.append(results.map(\.gradient))
            entropyGradient.append(results.map(\.entropyGradient))
            valueGradient.append(results.map(\.valueGradient))
            for result in results {
                total += result.loss
                sums.add(result.sums)
            }
            for entropies in pass.entropies[index] {
                sums.add("policy/entropy_avg", entropies.total, count: Double(entropies.count))
            }
        }
        let totals = sums.values
        rollouts.note(
            ratios: totals["val/ratio"] ?? (0, 0), divergence: totals["policy/approxkl_avg"] ?? (0, 0))
        // The passes of a step add up to one loss.
        sums.add("loss", total, count: scale[0] * Double(loss.count(batch.examples)))
        return ObjectiveResult(
            loss: pass.loss(
                total, gradient: gradient, entropyGradient: entropyGradient, valueGradient: valueGradient),
            sums: sums.values)
    }

    /// What the policy's answers to other prompts come to; the loss is the mean score with its sign turned.
    ///
    /// - Parameters:
    ///   - examples: prompts; `row` is the number among the rollouts' prompts of evaluation.
    ///   - adapters: the policy's own.
    /// - Throws: what keeps the answers from being written or judged.
    /// - Returns: the rollout's metrics, and the likelihood that the policy gives its own answers.
    public func evaluate(_ examples: [Example], adapters: [String]) throws -> EvaluationResult {
        let rollout = try rollouts.evaluate(examples)
        let answers = rollout.allAnswers
        var result = EvaluationResult(rows: answers.map { (-$0.old.total, $0.old.count) }, skipped: 0)
        result.metrics = rollout.metrics
        result.metrics["loss"] = -(rollout.metrics["objective/scores"] ?? 0)
        return result
    }
}
