import Datasets
import Files
import Layers
import Models
import Tensors

/// The batches of policy optimisation: prompts are answered by the policy as it is, judged, and trained on.
///
/// Old log-probabilities come from the training path, never from decoding, so that the ratio of the first step is exactly 1.
public final class Rollouts: BatchSource {
    private let prompts: [RolloutPrompt]
    private let evaluationPrompts: [RolloutPrompt]
    /// Tokens that all prompts begin with, such as a system message: they are computed once a pass.
    let sharedPrefix: Int
    private let policy: Policy
    private let options: RolloutOptions
    private let rewards: RewardMixture
    private let credit: any Credit
    private let stopTokens: Set<Int32>
    private let text: ([Int32]) -> String
    private let didRollOut: (Rollout, RolloutMoment) throws -> Void
    private let alarm: (String) -> Void
    /// The coefficient of the KL penalty.
    public private(set) var controller: KLController
    private var current: Rollout?
    private var isExhausted = false
    /// Steps that batches were made for.
    private var steps = 0
    /// Whether the policy is still the one that wrote the rollout: then every ratio is 1.
    private(set) var isFresh = false
    /// The approximate KL of the step's tokens from the policy that wrote them: sum and count.
    private var divergence = (sum: 0.0, count: 0.0)

    /// Prepares to answer prompts.
    ///
    /// - Parameters:
    ///   - prompts: what is answered to be trained on.
    ///   - evaluation: what is answered to be judged alone.
    ///   - policy: what answers.
    ///   - options: how.
    ///   - rewards: what judges.
    ///   - credit: what makes advantages of scores.
    ///   - controller: the weight of the KL penalty.
    ///   - stopTokens: what ends an answer.
    ///   - text: an answer's text, without special tokens.
    ///   - didRollOut: takes each rollout as it is made, those of evaluations too.
    ///   - alarm: takes a sentence where a number is what it cannot be.
    public init(
        _ prompts: [RolloutPrompt], evaluation: [RolloutPrompt] = [], policy: Policy, options: RolloutOptions,
        rewards: RewardMixture,
        credit: any Credit, controller: KLController, stopTokens: Set<Int32>, text: @escaping ([Int32]) -> String,
        didRollOut: @escaping (Rollout, RolloutMoment) throws -> Void = { _, _ in },
        alarm: @escaping (String) -> Void = { _ in }
    ) {
        precondition(!prompts.isEmpty, "no prompts")
        precondition(
            options.prompts % options.minibatches == 0,
            "\(options.prompts) prompts in \(options.minibatches) minibatches")
        self.prompts = prompts
        evaluationPrompts = evaluation
        sharedPrefix = (prompts + evaluation).map(\.tokens).sharedPrefix
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

    /// What is known of the answers of an example that ``step(_:)`` gave.
    public func answers(of example: Example) -> [JudgedAnswer] {
        guard let current else { preconditionFailure("an example before the first rollout") }
        return current.answers[example.row].filter(isTrained)
    }

    private func isTrained(_ answer: JudgedAnswer) -> Bool { answer.isStopped || !options.leavesOutTruncated }

    /// An example of the current rollout with the answers that are trained on; nil where that is none.
    private func trained(_ example: Example, of rollout: Rollout) -> Example? {
        let judged = rollout.answers[example.row]
        let kept = example.answers.indices.filter { isTrained(judged[$0]) }
        if kept.isEmpty || options.leavesOutTies && isTie(kept.map { judged[$0].score }) { return nil }
        if kept.count == example.answers.count { return example }
        return Example(
            prompt: Array(example.tokens[..<example.answers[0]]),
            answers: kept.map { Array(example.tokens[example.range(ofAnswer: $0)]) }, row: example.row)
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
        steps = index
        if current?.number != number {
            current = try makeRollout(number)
            isExhausted = false
        } else if let limit = options.stopAtKL, divergence.sum > limit * divergence.count {
            isExhausted = true
        }
        divergence = (0, 0)
        steps = index + 1
        isFresh = part == 0
        guard let rollout = current else { preconditionFailure("no rollout") }
        let (epoch, minibatch) = part.quotientAndRemainder(dividingBy: options.minibatches)
        let order = DataOrder(seed: options.seed).shuffled(
            Array(rollout.examples.indices), stream: UInt32(truncatingIfNeeded: number * options.epochs + epoch),
            .batches)
        let size = options.prompts / options.minibatches
        let examples = order[minibatch * size..<(minibatch + 1) * size].compactMap {
            trained(rollout.examples[$0], of: rollout)
        }
        return StepBatches(
            batches: isExhausted || examples.isEmpty ? [] : [Batch(examples: examples)],
            epoch: Double((number + 1) * options.prompts) / Double(prompts.count), metrics: rollout.metrics,
            isMeasured: part == 0)
    }

    /// The rollout and the coefficient, for a checkpoint.
    public var state: JSON? {
        [
            "rollout": current.map(\.json) ?? .null, "kl_coefficient": .number(controller.coefficient),
            "is_exhausted": .bool(isExhausted), "steps": .integer(steps),
            "divergence": [.number(divergence.sum), .number(divergence.count)],
        ]
    }

    /// Goes on from a checkpoint.
    public func restore(_ state: JSON) throws {
        let divergence = (state["divergence"]?.array ?? []).compactMap(\.number)
        guard let coefficient = state["kl_coefficient"]?.number, let isExhausted = state["is_exhausted"]?.bool,
            let steps = state["steps"]?.integer, divergence.count == 2
        else {
            throw InputError("is no state of rollouts", place: "`batches`")
        }
        current = try state["rollout"].map(Rollout.init)
        controller.restore(coefficient: coefficient)
        self.isExhausted = isExhausted
        self.steps = steps
        self.divergence = (divergence[0], divergence[1])
    }

    /// Answers prompts that are not trained on, once each, as the policy is now.
    ///
    /// - Parameter examples: `row` is the number of the prompt.
    /// - Throws: what keeps them from being written or judged.
    /// - Returns: the answers, judged.
    func evaluate(_ examples: [Example]) throws -> Rollout {
        let asked = examples.map { (number: $0.row, prompt: evaluationPrompts[$0.row]) }
        var rollout = try makeAnswers(
            to: asked, each: 1, by: policy.withoutCritic, seed: options.seed &+ 1, number: current?.number ?? 0)
        measure(&rollout)
        try didRollOut(rollout, RolloutMoment(step: steps, isEvaluation: true))
        return rollout
    }

    /// Adds the rollout's metrics.
    private func measure(_ rollout: inout Rollout) {
        rollout.metrics = rollout.measured(
            rewards: rewards.parts.map(\.name), credit: credit,
            klCoefficient: policy.reference == nil ? nil : controller.coefficient)
        if let k3 = rollout.metrics["objective/kl_k3"], k3 < 0 {
            alarm("the mean KL of a rollout (k3) is \(k3): below 0")
        }
    }

    // Making one.

    /// The prompts of a rollout, with numbers that no other has: every pass over them has its own order and its own draws.
    private func chosenPrompts(_ number: Int) -> [(number: Int, prompt: RolloutPrompt)] {
        (number * options.prompts..<(number + 1) * options.prompts).map { place in
            let (epoch, index) = place.quotientAndRemainder(dividingBy: prompts.count)
            guard options.shuffles else { return (place, prompts[index]) }
            let order = DataOrder(seed: options.seed).shuffled(
                Array(prompts.indices), stream: UInt32(truncatingIfNeeded: epoch), .epoch)
            return (place, prompts[order[index]])
        }
    }

    private func makeRollout(_ number: Int) throws -> Rollout {
        var rollout = try makeAnswers(
            to: chosenPrompts(number), each: options.answersPerPrompt, by: policy, seed: options.seed, number: number)
        credit.assign(to: &rollout, klCoefficient: controller.coefficient)
        let charged = controller.coefficient
        measure(&rollout)
        if let kl = rollout.metrics["objective/kl"] {
            controller.update(kl: kl, answers: rollout.allAnswers.count)
            // A term of the loss has the weight that is steered to, a part of the reward the one that it was credited with.
            let isCharged = rollout.allAnswers.contains { credit.divergence(of: $0) != nil }
            rollout.metrics["objective/kl_coef"] = isCharged ? charged : controller.coefficient
        }
        try didRollOut(rollout, RolloutMoment(step: steps + 1, isEvaluation: false))
        return rollout
    }

    /// Answers of the policy as it is, judged.
    private func makeAnswers(
        to chosen: [(number: Int, prompt: RolloutPrompt)], each count: Int, by policy: Policy, seed: UInt64, number: Int
    ) throws -> Rollout {
        var decoding = options.decoding
        decoding.samplesPerPrompt = count
        decoding.sharedPrefix = sharedPrefix
        decoding.sampling.temperature = policy.temperature
        decoding.sampling.seed = seed
        let samples = try Generator(policy.model, adapters: policy.adapters, stopTokens: stopTokens).generate(
            chosen.map(\.prompt.tokens), numbers: chosen.map(\.number), options: decoding)
        let examples = zip(chosen, samples).enumerated().map { row, pair in
            Example(prompt: pair.0.prompt.tokens, answers: pair.1.map(\.tokens), row: row)
        }
        return Rollout(
            number: number, examples: examples, prompts: chosen.map(\.prompt.text),
            answers: try judged(samples, of: policy, to: chosen.map(\.prompt), examples))
    }

    private func judged(
        _ samples: [[GeneratedSample]], of policy: Policy, to prompts: [RolloutPrompt], _ examples: [Example]
    ) throws -> [[JudgedAnswer]] {
        let given = zip(prompts, samples).flatMap { prompt, samples in
            samples.map {
                GeneratedAnswer(
                    promptTokens: prompt.tokens, tokens: $0.tokens, prompt: prompt.text, text: text($0.tokens),
                    reference: prompt.reference, isStopped: $0.isStopped)
            }
        }
        let scores = try rewards.scores(of: given)
        let (old, values, entropy) = probabilities(examples, policy)
        if entropy < 0 { alarm("the mean entropy of a rollout is \(entropy): below 0") }
        let reference = policy.reference.map { model, adapters in
            probabilities(examples, Policy(model, adapters: adapters, temperature: policy.temperature))
                .logProbabilities
        }
        var next = 0
        return samples.indices.map { row in
            samples[row].indices.map { index in
                defer { next += 1 }
                let isStopped = samples[row][index].isStopped
                return JudgedAnswer(
                    text: given[next].text, isStopped: isStopped, scores: scores.parts.map { $0[next] },
                    score: scores.total[next] - (isStopped ? 0 : options.missingEndPenalty), old: old[row][index],
                    reference: reference?[row][index] ?? [], values: values.isEmpty ? [] : values[row][index])
            }
        }
    }

    /// What training would compute, without a tape.
    private func probabilities(_ examples: [Example], _ policy: Policy) -> (
        logProbabilities: [[[Float]]], values: [[[Float]]], entropy: Double
    ) {
        let passes = examples.parts(ofTokens: options.tokensPerPass).map { part in
            PolicyPass(policy, part, sharedPrefix: sharedPrefix) { ForwardContext($0, adapters: policy.adapters) }
        }
        let entropies = passes.flatMap { $0.entropies.flatMap { $0.flatMap { $0 } } }
        return (
            passes.flatMap(\.logProbabilities), passes.flatMap(\.values),
            entropies.total / Double(max(1, entropies.count))
        )
    }
}

extension [[Int32]] {
    /// The tokens that all begin with, and that are not all of any.
    fileprivate var sharedPrefix: Int {
        guard let first else { return 0 }
        let shortest = self.reduce(first.count) { Swift.min($0, $1.count) }
        let alike = (0..<shortest).first { index in contains { $0[index] != first[index] } } ?? shortest
        return Swift.max(0, Swift.min(alike, shortest - 1))
    }
}
