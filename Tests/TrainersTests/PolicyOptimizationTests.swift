import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Policy optimisation of the tiny model towards short answers of low token ids.
private struct PolicyRun {
    let model: CausalLM
    let valueHead: ValueHead
    let rollouts: Rollouts
    let objective: PolicyOptimization
    private let policy: Policy
    let alarms = Alarms()
    let seen = Alarms()

    final class Alarms { var texts: [String] = [] }

    /// Rewards answers for the share of even tokens.
    private struct EvenTokens: Reward {
        func scores(of answers: [GeneratedAnswer]) -> [Double] {
            answers.map { answer in Double(answer.tokens.count { $0 % 2 == 0 }) / Double(max(1, answer.tokens.count)) }
        }
    }

    /// A run of the same model that knows nothing of its rollouts.
    func continued() throws -> PolicyRun { try PolicyRun(model: model, valueHead: valueHead) }

    init(
        model given: CausalLM? = nil, valueHead givenHead: ValueHead? = nil, credit: any Credit = GeneralizedCredit(),
        loss: PolicyLoss = PolicyLoss(), answersPerPrompt: Int = 1,
        epochs: Int = 2, minibatches: Int = 2, klCoefficient: Double = 0.05, stopAtKL: Double? = nil
    ) throws {
        var run = TinyRun()
        run.dropout = 0
        model = try given ?? run.adaptedModel()
        valueHead = givenHead ?? ValueHead(hiddenSize: model.configuration.hiddenSize)
        policy = Policy(
            model, adapters: ["default"], reference: (model, []),
            valueHead: credit is GeneralizedCredit ? valueHead : nil, temperature: 0.9)
        var options = RolloutOptions()
        (options.prompts, options.answersPerPrompt, options.epochs, options.minibatches) = (
            4, answersPerPrompt, epochs, minibatches
        )
        options.decoding = DecodingOptions(maximumTokens: 8)
        options.tokensPerPass = 64
        options.stopAtKL = stopAtKL
        options.missingEndPenalty = 0.125
        let prompts = TinyRun.rows.prefix(6).map { RolloutPrompt(tokens: Array($0.tokens.prefix(12)), text: "p") }
        rollouts = Rollouts(
            prompts, policy: policy, options: options,
            rewards: RewardMixture([.init(name: "even", reward: EvenTokens())]), credit: credit,
            controller: KLController(coefficient: klCoefficient, target: 3, horizon: 100), stopTokens: [1],
            text: { "\($0)" }, didRollOut: { [seen] rollout, _ in seen.texts.append(rollout.allAnswers[0].text) },
            alarm: { [alarms] in alarms.texts.append($0) })
        objective = PolicyOptimization(policy, rollouts, loss: loss)
    }

    /// Trains for some steps from a state.
    func train(
        steps: Int, learningRate: Double = 1e-2, from state: TrainingState = TrainingState(),
        optimizer: AdamW = AdamW(),
        save: @escaping (TrainingState) -> Void = { _ in }, saveSteps: Int? = nil
    ) throws -> [StepMetrics] {
        if let batches = state.batches { try rollouts.restore(batches) }
        var metrics: [StepMetrics] = []
        var options = TrainingOptions(
            totalSteps: steps, learningRate: learningRate,
            schedule: Schedule(.constant, warmupSteps: 0, totalSteps: steps))
        options.saveSteps = saveSteps
        let loop = TrainingLoop(
            model: policy.trained, adapters: ["default"], objective: objective,
            optimizer: optimizer, batches: rollouts, options: options,
            hooks: TrainingHooks(didStep: { metrics.append($0) }, save: save), state: state)
        #expect(try loop.run() == .finished)
        return metrics
    }
}

@Suite("Policy optimisation") struct PolicyOptimizationTests {
    @Test func theFirstStepOnARolloutHasTheRatioOneExactly() throws {
        let run = try PolicyRun()
        let metrics = try run.train(steps: 8)
        for (index, step) in metrics.enumerated() {
            let ratio = try #require(step.objective["policy/ratio"])
            #expect((ratio == 1) == (index % 4 == 0), "step \(index + 1): \(ratio)")
            #expect((step.objective["policy/approxkl"] == 0) == (index % 4 == 0))
        }
        #expect(run.alarms.texts.isEmpty && run.seen.texts.count == 2)
    }

    @Test func whatARolloutMeasures() throws {
        // The adapter begins at random: the policy is not its reference.
        let metrics = try PolicyRun().train(steps: 1)[0].objective
        #expect(try #require(metrics["objective/kl_k3"]) > 0)
        let score = try #require(metrics["objective/scores"]), even = try #require(metrics["rewards/even"])
        let ended = try #require(metrics["completions/ended_share"])
        #expect(abs(score - (even - 0.125 * (1 - ended))) < 1e-12)
        #expect(metrics["objective/kl_coef"] == 0.05)
    }

    @Test("the reward rises", arguments: ["ppo", "grpo", "rloo"])
    func learning(method: String) throws {
        var loss = PolicyLoss()
        let credit: any Credit
        switch method {
        case "grpo": (credit, loss.mean) = (GroupCredit(), .answers)
        case "rloo": (credit, loss.mean, loss.ratio) = (LeaveOneOutCredit(), .answers, .product)
        default: credit = GeneralizedCredit()
        }
        let metrics = try PolicyRun(
            credit: credit, loss: loss, answersPerPrompt: 8, epochs: 1, minibatches: 1, klCoefficient: 0

        ).train(steps: 48, learningRate: 3e-2).compactMap { $0.objective["rewards/even"] }
        let (first, last) = (metrics.prefix(8).reduce(0, +) / 8, metrics.suffix(8).reduce(0, +) / 8)
        #expect(last > first + 0.1, "\(metrics)")
    }

    @Test func aRunGoesOnInTheMiddleOfARolloutToTheSameBits() throws {
        let whole = try PolicyRun()
        let all = try whole.train(steps: 8)

        let begun = try PolicyRun()
        let optimizer = AdamW()
        var saved: JSON?
        _ = try begun.train(steps: 6, optimizer: optimizer, save: { saved = $0.batches })
        // A checkpoint is text: the rollout goes through it.
        var state = TrainingState()
        state.step = 6
        state.batches = try JSON(parsing: #require(saved).text())
        let rest = try begun.continued().train(steps: 8, from: state, optimizer: optimizer)
        #expect(rest.count == 2)
        for (a, b) in zip(all.suffix(2), rest) {
            #expect(a.loss == b.loss && a.gradientNorm == b.gradientNorm)
            #expect(a.objective == b.objective)
        }
        for (a, b) in zip(whole.model.trainableParameters(), begun.model.trainableParameters()) {
            #expect(a.parameter.value.values == b.parameter.value.values, "\(a.path)")
        }
    }

    @Test func aRolloutIsPassedOverWhereThePolicyHasGoneTooFar() throws {
        let run = try PolicyRun(epochs: 4, minibatches: 1, stopAtKL: 1e-9)
        let metrics = try run.train(steps: 4)
        // The first step is the policy itself, the second sees what the first did, the others are passed over.
        #expect(metrics.map { $0.tokens > 0 } == [true, true, false, false])
    }

    /// What the bonus adds to value and gradient, beside the entropy's own change along a direction.
    @Test func theEntropyBonusHasItsGradient() throws {
        let run = try PolicyRun(epochs: 1, minibatches: 1)
        let policy = Policy(run.model, adapters: ["default"], valueHead: run.valueHead, temperature: 0.9)
        let batch = try #require(run.rollouts.step(0).batches.first)
        func computed(_ coefficient: Double, _ tape: Tape? = nil) throws -> (loss: Double, entropy: Double) {
            var loss = PolicyLoss()
            loss.entropyCoefficient = coefficient
            let objective = PolicyOptimization(policy, run.rollouts, loss: loss)
            let result = objective.loss(batch, scale: [1 / Double(objective.counts(batch)[0])]) {
                ForwardContext($0, tape: tape, adapters: ["default"])
            }
            if let tape { tape.backward(from: try #require(result.loss)) }
            let entropy = try #require(result.sums["policy/entropy"])
            return (try #require(result.sums["loss"]?.sum), entropy.sum / entropy.count)
        }
        let parameters = run.model.trainableParameters().map(\.parameter)
        let directions = parameters.enumerated().map { index, parameter in
            var random = RandomGenerator(RandomKey(seed: UInt64(index), purpose: "direction"))
            return (0..<parameter.value.count).map { _ in Float(random.uniform() - 0.5) }
        }
        func slope(_ coefficient: Double) throws -> Double {
            for parameter in parameters { parameter.gradient = nil }
            _ = try computed(coefficient, Tape())
            return zip(parameters, directions).reduce(0) { sum, pair in
                zip(pair.0.gradient?.values ?? [], pair.1).reduce(sum) { $0 + Double($1.0) * Double($1.1) }
            }
        }
        let (plain, bonus) = try (computed(0), computed(0.5))
        #expect(abs(bonus.loss - (plain.loss - 0.5 * plain.entropy)) < 1e-9)
        let added = try slope(0.5) - slope(0)

        let start = parameters.map(\.value)
        func entropy(at step: Float) throws -> Double {
            for ((parameter, value), direction) in zip(zip(parameters, start), directions) {
                parameter.value = Tensor(zip(value.values, direction).map { $0 + step * $1 }, shape: value.shape)
            }
            return try computed(0).entropy
        }
        let step: Float = 4e-3
        let change = try (entropy(at: step) - entropy(at: -step)) / Double(2 * step)
        #expect(abs(change) > 1e-2 && abs(added + 0.5 * change) < 1e-2 * abs(change), "\(added), \(change)")
    }

    @Test func theValueHeadLearns() throws {
        let run = try PolicyRun()
        _ = try run.train(steps: 4)
        #expect(run.valueHead.parameters().contains { $0.parameter.value.values.contains { $0 != 0 } })
    }
}
