import Datasets
import Files
import Layers
import Models
import Tensors

/// How rollouts are made and used.
public struct RolloutOptions: Sendable {
    /// Prompts of a rollout.
    public var prompts = 64
    /// Answers to each; a group.
    public var answersPerPrompt = 1
    /// How often a rollout is trained on.
    public var epochs = 4
    /// Optimizer steps of one such pass.
    public var minibatches = 1
    /// How answers are written; the temperature is the policy's.
    public var decoding = DecodingOptions(maximumTokens: 53)
    /// Taken off the score of an answer that no stop token ended.
    public var missingEndPenalty = 0.0
    /// Where a step's approximate KL from the policy that wrote the rollout passes this, the rest of the rollout is passed over.
    public var stopAtKL: Double?
    /// Tokens whose activations are held at once.
    public var tokensPerPass = 1024
    /// What every random choice is drawn from.
    public var seed: UInt64 = 42

    /// TRL's defaults.
    public init() {}

    /// Optimizer steps that one rollout is good for.
    public var stepsPerRollout: Int { epochs * minibatches }
}

/// The batches of policy optimisation: prompts are answered by the policy as it is, judged, and trained on.
///
/// Old log-probabilities come from the training path, never from decoding, so that the ratio of the first step is exactly 1.
public final class Rollouts: BatchSource {
    private let prompts: [RolloutPrompt]
    private let policy: Policy
    private let options: RolloutOptions
    private let rewards: RewardMixture
    private let credit: any Credit
    private let stopTokens: Set<Int32>
    private let text: ([Int32]) -> String
    private let didRollOut: (Rollout) throws -> Void
    private let alarm: (String) -> Void
    /// The coefficient of the KL penalty.
    public private(set) var controller: KLController
    private var current: Rollout?
    private var isExhausted = false
    /// Whether the policy is still the one that wrote the rollout: then every ratio is 1.
    private(set) var isFresh = false
    /// The approximate KL of the step's tokens from the policy that wrote them: sum and count.
    private var divergence = (sum: 0.0, count: 0.0)

    /// Prepares to answer prompts.
    ///
    /// - Parameters:
    ///   - prompts: what is answered.
    ///   - policy: what answers.
    ///   - options: how.
    ///   - rewards: what judges.
    ///   - credit: what makes advantages of scores.
    ///   - controller: the weight of the KL penalty.
    ///   - stopTokens: what ends an answer.
    ///   - text: an answer's text, without special tokens.
    ///   - didRollOut: takes each rollout as it is made.
    ///   - alarm: takes a sentence where a number is what it cannot be.
    public init(
        _ prompts: [RolloutPrompt], policy: Policy, options: RolloutOptions, rewards: RewardMixture,
        credit: any Credit, controller: KLController, stopTokens: Set<Int32>, text: @escaping ([Int32]) -> String,
        didRollOut: @escaping (Rollout) throws -> Void = { _ in }, alarm: @escaping (String) -> Void = { _ in }
    ) {
        precondition(!prompts.isEmpty, "no prompts")
        precondition(
            options.prompts % options.minibatches == 0,
            "\(options.prompts) prompts in \(options.minibatches) minibatches")
        self.prompts = prompts
        self.policy = policy
        self.options = options
        self.rewards = rewards
        self.credit = credit
        self.controller = controller
        self.stopTokens = stopTokens
        self.text = text
        self.didRollOut = didRollOut
        self.alarm = alarm
    }

    /// What is known of the answers of an example of the current rollout.
    func answers(of example: Example) -> [JudgedAnswer] {
        guard let current else { preconditionFailure("an example before the first rollout") }
        return current.answers[example.row]
    }

    /// Takes what a pass measured: its ratios, and how far it is from the policy that wrote the rollout.
    func note(ratios: (sum: Double, count: Double), divergence: (sum: Double, count: Double)) {
        self.divergence.sum += divergence.sum
        self.divergence.count += divergence.count
        if isFresh, ratios.sum != ratios.count {
            alarm(
                "the first step of rollout \((current?.number ?? 0) + 1) has a mean ratio of \(ratios.sum / ratios.count), "
                    + "not 1: old probabilities are not those of training")
        }
    }

    /// The minibatch of a step; none where the rest of the rollout is passed over.
    public func step(_ index: Int) throws -> StepBatches {
        let (number, part) = index.quotientAndRemainder(dividingBy: options.stepsPerRollout)
        if current?.number != number {
            current = try makeRollout(number)
            isExhausted = false
        } else if let limit = options.stopAtKL, divergence.sum > limit * divergence.count {
            isExhausted = true
        }
        divergence = (0, 0)
        isFresh = part == 0
        guard let rollout = current else { preconditionFailure("no rollout") }
        let (epoch, minibatch) = part.quotientAndRemainder(dividingBy: options.minibatches)
        let order = DataOrder(seed: options.seed).shuffled(
            Array(rollout.examples.indices), stream: UInt32(truncatingIfNeeded: number * options.epochs + epoch),
            .batches)
        let size = options.prompts / options.minibatches
        let examples = order[minibatch * size..<(minibatch + 1) * size].map { rollout.examples[$0] }
        return StepBatches(
            batches: isExhausted ? [] : [Batch(examples: examples)],
            epoch: Double((number + 1) * options.prompts) / Double(prompts.count), metrics: rollout.metrics)
    }

    /// The rollout and the coefficient, for a checkpoint.
    public var state: JSON? {
        [
            "rollout": current.map(\.json) ?? .null, "kl_coefficient": .number(controller.coefficient),
            "is_exhausted": .bool(isExhausted),
        ]
    }

    /// Goes on from a checkpoint.
    public func restore(_ state: JSON) throws {
        guard let coefficient = state["kl_coefficient"]?.number, let isExhausted = state["is_exhausted"]?.bool else {
            throw InputError("is no state of rollouts", place: "`batches`")
        }
        current = try state["rollout"].map(Rollout.init)
        controller.restore(coefficient: coefficient)
        self.isExhausted = isExhausted
    }

    // Making one.

    /// The prompts of a rollout, with numbers that no other has: every pass over them has its own order and its own draws.
    private func chosenPrompts(_ number: Int) -> [(number: Int, prompt: RolloutPrompt)] {
        (number * options.prompts..<(number + 1) * options.prompts).map { place in
            let (epoch, index) = place.quotientAndRemainder(dividingBy: prompts.count)
            let order = DataOrder(seed: options.seed).shuffled(
                Array(prompts.indices), stream: UInt32(truncatingIfNeeded: epoch), .epoch)
            return (place, prompts[order[index]])
        }
    }

    private func makeRollout(_ number: Int) throws -> Rollout {
        let chosen = chosenPrompts(number)
        var decoding = options.decoding
        decoding.samplesPerPrompt = options.answersPerPrompt
        decoding.sampling.temperature = policy.temperature
        decoding.sampling.seed = options.seed
        let samples = try Generator(policy.model, adapters: policy.adapters, stopTokens: stopTokens).generate(
            chosen.map(\.prompt.tokens), numbers: chosen.map(\.number), options: decoding)
        let examples = zip(chosen, samples).enumerated().map { row, pair in
            Example(prompt: pair.0.prompt.tokens, answers: pair.1.map(\.tokens), row: row)
        }
        var rollout = Rollout(
            number: number, examples: examples, prompts: chosen.map(\.prompt.text),
            answers: try judged(samples, to: chosen.map(\.prompt), examples))
        credit.assign(to: &rollout, klCoefficient: controller.coefficient)
        let kl = addMetrics(to: &rollout)
        controller.update(kl: kl, answers: rollout.allAnswers.count)
        try didRollOut(rollout)
        return rollout
    }

    private func judged(
        _ samples: [[GeneratedSample]], to prompts: [RolloutPrompt], _ examples: [Example]
    ) throws -> [[JudgedAnswer]] {
        let given = zip(prompts, samples).flatMap { prompt, samples in
            samples.map {
                GeneratedAnswer(
                    promptTokens: prompt.tokens, tokens: $0.tokens, prompt: prompt.text, text: text($0.tokens),
                    reference: prompt.reference, isStopped: $0.isStopped)
            }
        }
        let scores = try rewards.scores(of: given)
        let (old, values, entropy) = probabilities(examples, policy.adapters, withValues: true)
        if entropy < 0 { alarm("the mean entropy of a rollout is \(entropy): below 0") }
        let reference = probabilities(examples, policy.referenceAdapters, withValues: false).logProbabilities
        var next = 0
        return samples.indices.map { row in
            samples[row].indices.map { index in
                defer { next += 1 }
                let isStopped = samples[row][index].isStopped
                return JudgedAnswer(
                    text: given[next].text, isStopped: isStopped, scores: scores.parts.map { $0[next] },
                    score: scores.total[next] - (isStopped ? 0 : options.missingEndPenalty), old: old[row][index],
                    reference: reference[row][index], values: values.isEmpty ? [] : values[row][index])
            }
        }
    }

    /// What training would compute, without a tape.
    private func probabilities(_ examples: [Example], _ adapters: [String], withValues: Bool) -> (
        logProbabilities: [[[Float]]], values: [[[Float]]], entropy: Double
    ) {
        let policy =
            withValues
            ? policy : Policy(policy.model, adapters: adapters, valueHead: nil, temperature: policy.temperature)
        let passes = examples.parts(ofTokens: options.tokensPerPass).map { part in
            PolicyPass(policy, part) { ForwardContext($0, adapters: adapters) }
        }
        let entropies = passes.flatMap { $0.entropies.flatMap { $0.flatMap { $0 } } }
        return (
            passes.flatMap(\.logProbabilities), passes.flatMap(\.values),
            entropies.total / Double(max(1, entropies.count))
        )
    }

    /// Adds the rollout's metrics, under TRL's names.
    ///
    /// - Returns: the mean KL of an answer, summed over its tokens.
    private func addMetrics(to rollout: inout Rollout) -> Double {
        let answers = rollout.allAnswers
        let count = Double(answers.count)
        func mean(_ number: (JudgedAnswer) -> Double) -> Double { answers.reduce(0) { $0 + number($1) } / count }
        let kl = mean { $0.old.total - $0.reference.total }
        let k3 = mean { answer in
            zip(answer.old, answer.reference).reduce(0) {
                $0 + KLEstimator.k3(policy: Double($1.0), reference: Double($1.1))
            }
        }
        if k3 < 0 { alarm("the mean KL of a rollout (k3) is \(k3): below 0") }
        let score = mean(\.score)
        rollout.metrics = [
            "objective/kl": kl, "objective/kl_k3": k3, "objective/scores": score,
            "objective/non_score_reward": -controller.coefficient * kl,
            "objective/rlhf_reward": score - controller.coefficient * kl, "objective/kl_coef": controller.coefficient,
            "completions/mean_length": mean { Double($0.old.count) },
            "completions/ended_share": mean { $0.isStopped ? 1 : 0 },
        ]
        for (index, part) in rewards.parts.enumerated() {
            rollout.metrics["rewards/\(part.name)"] = mean { $0.scores[index] }
        }
        return kl
    }
}
