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
    struct EvenTokens: Reward {
        func scores(of answers: [GeneratedAnswer]) -> [Double] {
            answers.map { answer in Double(answer.tokens.count { $0 % 2 == 0 }) / Double(max(1, answer.tokens.count)) }
        }
    }

    /// A run of the same model that knows nothing of its rollouts.
    func continued(epochs: Int = 2, minibatches: Int = 2, stopAtKL: Double? = nil) throws -> PolicyRun {
        try PolicyRun(
            model: model, valueHead: valueHead, epochs: epochs, minibatches: minibatches, stopAtKL: stopAtKL)
    }

    init(
        model given: CausalLM? = nil, valueHead givenHead: ValueHead? = nil, credit: any Credit = GeneralizedCredit(),
        loss: any RolloutLoss = PolicyLoss(), answersPerPrompt: Int = 1,
        epochs: Int = 2, minibatches: Int = 2, klCoefficient: Double = 0.05, stopAtKL: Double? = nil,
        leavesOutTruncated: Bool = false, shuffles: Bool = true, reward: any Reward = EvenTokens(),
        valueAdapters: [String]? = nil
    ) throws {
        var run = TinyRun()
        run.dropout = 0
        model = try given ?? run.adaptedModel()
        valueHead = givenHead ?? ValueHead(hiddenSize: model.configuration.hiddenSize)
        policy = Policy(
            model, adapters: ["default"], reference: (model, []),
            critic: credit is GeneralizedCredit ? Critic(valueHead, adapters: valueAdapters) : nil, temperature: 0.9)
        var options = RolloutOptions()
        (options.prompts, options.answersPerPrompt, options.epochs, options.minibatches) = (
            4, answersPerPrompt, epochs, minibatches
        )
        options.decoding = DecodingOptions(maximumTokens: 8)
        options.tokensPerPass = 64
        options.stopAtKL = stopAtKL
        options.leavesOutTruncated = leavesOutTruncated
        options.leavesOutTies = loss is OnlinePairLoss
        options.shuffles = shuffles
        options.missingEndPenalty = 0.125
        let prompts = TinyRun.rows.prefix(6).map { RolloutPrompt(tokens: Array($0.tokens.prefix(12)), text: "p") }
        rollouts = Rollouts(
            prompts, policy: policy, options: options,
            rewards: RewardMixture([.init(name: "even", reward: reward)]), credit: credit,
            controller: KLController(coefficient: klCoefficient, target: 3, horizon: 100), stopTokens: [1],
            text: { "\($0)" }, didRollOut: { [seen] rollout, _ in seen.texts.append(rollout.allAnswers[0].text) },
            alarm: { [alarms] in alarms.texts.append($0) })
        objective = PolicyOptimization(policy, rollouts, loss: loss)
    }

    /// Trains for some steps from a state.
    func train(
        steps: Int, learningRate: Double = 1e-2, maxGradientNorm: Double? = 1,
        from state: TrainingState = TrainingState(),
        optimizer: AdamW = AdamW(),
        save: @escaping (TrainingState) -> Void = { _ in }, saveSteps: Int? = nil
    ) throws -> [StepMetrics] {
        if let batches = state.batches { try rollouts.restore(batches) }
        var metrics: [StepMetrics] = []
        var options = TrainingOptions(
            totalSteps: steps, learningRate: learningRate,
            schedule: Schedule(.constant, warmupSteps: 0, totalSteps: steps), maxGradientNorm: maxGradientNorm)
        options.saveSteps = saveSteps
        let loop = TrainingLoop(
            model: policy.trained, adapters: ["default"], objective: objective,
            optimizer: optimizer, batches: rollouts, options: options,
            hooks: TrainingHooks(didStep: { metrics.append($0) }, save: save), state: state)
        #expect(try loop.run() == .finished)
        return metrics
    }
}

/// Makes up for the penalty of answers that did not end: all are worth the same.
private struct SameForAll: Reward {
    func scores(of answers: [GeneratedAnswer]) -> [Double] { answers.map { $0.isStopped ? 0.5 : 0.625 } }
}

/// Gives every answer the same, added up in one of two orders.
private struct SameButForRounding: Reward {
    func scores(of answers: [GeneratedAnswer]) -> [Double] {
        answers.enumerated().map { ($0 % 2 == 0 ? 0.1 + 0.2 + 0.3 : 0.3 + 0.2 + 0.1) + ($1.isStopped ? 0 : 0.125) }
    }
}

@Suite("Policy optimisation") struct PolicyOptimizationTests {
    @Test func theFirstStepOnARolloutHasTheRatioOneExactly() throws {
        let run = try PolicyRun()
        let metrics = try run.train(steps: 8)
        for (index, step) in metrics.enumerated() {
            let ratio = try #require(step.objective["val/ratio"])
            #expect((ratio == 1) == (index % 4 == 0), "step \(index + 1): \(ratio)")
            #expect((step.objective["policy/approxkl_avg"] == 0) == (index % 4 == 0))
        }
        #expect(run.alarms.texts.isEmpty && run.seen.texts.count == 2)
    }

    @Test func whatARolloutMeasures() throws {
        // The adapter begins at random: the policy is not its reference.
        let metrics = try PolicyRun().train(steps: 1)[0].objective
        #expect(try #require(metrics["objective/kl_k3"]) > 0)
        let score = try #require(metrics["objective/scores"]), even = try #require(metrics["rewards/even/mean"])
        let ended = try #require(metrics["completions/ended_share"])
        #expect(abs(score - (even - 0.125 * (1 - ended))) < 1e-12)
        #expect(metrics["objective/kl_coef"] == 0.05)
    }

    @Test("the reward rises", arguments: ["ppo", "grpo", "rloo", "online_dpo"])
    func learning(method: String) throws {
        var (loss, credit, answers): (PolicyLoss, any Credit, Int) = (PolicyLoss(), GeneralizedCredit(), 8)
        switch method {
        case "grpo": (credit, loss.mean) = (GroupCredit(), .answers)
        case "rloo": (credit, loss.mean, loss.ratio) = (LeaveOneOutCredit(), .answers, .product)
        case "online_dpo": (credit, answers) = (GroupCredit(), 2)
        default: break
        }
        let isPaired = method == "online_dpo"
        let metrics = try PolicyRun(
            credit: credit, loss: isPaired ? OnlinePairLoss(.sigmoid, beta: 0.1) : loss, answersPerPrompt: answers,
            epochs: 1, minibatches: 1, klCoefficient: isPaired ? 0.1 : 0
        ).train(steps: 48, learningRate: 3e-2).compactMap { $0.objective["rewards/even/mean"] }
        let (first, last) = (metrics.prefix(8).reduce(0, +) / 8, metrics.suffix(8).reduce(0, +) / 8)
        #expect(last > first + 0.1, "\(metrics)")
    }

    @Test("with an adapter of its own, what the value head learns leaves the policy alone; on the policy's it does not")
    func valueAdapter() throws {
        func policies(hasValueAdapter: Bool) throws -> [[[Float]]] {
            try [0.1, 10].map { coefficient in
                let model = try TinyRun().adaptedModel()
                if hasValueAdapter {
                    let trained = model.trainableParameters()
                    try attach(LoRAConfiguration(), to: model, name: "value", seed: 3)
                    for (_, parameter) in trained { parameter.isTrainable = true }
                }
                var loss = PolicyLoss()
                loss.valueCoefficient = coefficient
                let run = try PolicyRun(
                    model: model, loss: loss, valueAdapters: hasValueAdapter ? ["value"] : nil)
                let before = try adapterTensors(named: "default", of: model).map(\.value.values)
                // One norm over all gradients would tie one to the other.
                let metrics = try run.train(steps: 4, maxGradientNorm: nil)
                #expect(metrics[0].objective["val/ratio"] == 1 && run.alarms.texts.isEmpty)
                let after = try adapterTensors(named: "default", of: model).map(\.value.values)
                #expect(before != after)
                return after
            }
        }
        let own = try policies(hasValueAdapter: true), shared = try policies(hasValueAdapter: false)
        #expect(own[0] == own[1] && shared[0] != shared[1])
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

    @Test("a run that goes on before a step that is passed over passes it over too", arguments: [2, 3])
    func resumedBeforeAStepThatIsPassedOver(step: Int) throws {
        let whole = try PolicyRun(epochs: 4, minibatches: 1, stopAtKL: 1e-9)
        let all = try whole.train(steps: 6)
        #expect(all.map { $0.tokens > 0 } == [true, true, false, false, true, true])
        let begun = try PolicyRun(epochs: 4, minibatches: 1, stopAtKL: 1e-9)
        let optimizer = AdamW()
        var state = TrainingState()
        _ = try begun.train(steps: step, optimizer: optimizer, save: { state = $0 })
        state.batches = try JSON(parsing: #require(state.batches).text())
        let rest = try begun.continued(epochs: 4, minibatches: 1, stopAtKL: 1e-9).train(
            steps: 6, from: state, optimizer: optimizer)
        #expect(rest.map(\.loss) == all.suffix(6 - step).map(\.loss))
        #expect(rest.map(\.gradientNorm) == all.suffix(6 - step).map(\.gradientNorm))
    }

    @Test func whatTheDivergenceCostsIsWhatItsEstimatorSays() throws {
        var credit = GeneralizedCredit()
        credit.klEstimator = .k3
        let metrics = try PolicyRun(credit: credit).train(steps: 1)[0].objective
        let cost = try #require(metrics["objective/non_score_reward"])
        #expect(abs(cost + 0.05 * (try #require(metrics["objective/kl_k3"]))) < 1e-12 && cost < 0)
        // GRPO's divergence is a term of the loss: the score is what is credited.
        let group = try PolicyRun(credit: GroupCredit(), answersPerPrompt: 2).train(steps: 1)[0].objective
        #expect(group["objective/non_score_reward"] == 0)
        #expect(group["objective/rlhf_reward"] == group["objective/scores"])
    }

    @Test func promptsComeInTheirOrderWhereAskedTo() throws {
        let run = try PolicyRun(epochs: 1, minibatches: 1, shuffles: false)
        let first = try run.rollouts.step(0).batches.flatMap(\.examples).sorted { $0.row < $1.row }
        #expect(
            first.map { Array($0.tokens[..<$0.answers[0]]) }
                == TinyRun.rows.prefix(4).map { Array($0.tokens.prefix(12)) })
    }

    @Test("where all answers are worth the same, nothing has a gradient, and that is no alarm")
    func flatRewards() throws {
        var loss = PolicyLoss()
        loss.mean = .answers
        let metrics = try PolicyRun(
            credit: GroupCredit(), loss: loss, answersPerPrompt: 2, epochs: 1, minibatches: 1, klCoefficient: 0,
            reward: SameForAll()
        ).train(steps: 4)
        #expect(metrics.allSatisfy { $0.gradientNorm == 0 && $0.alarms.isEmpty })
        #expect(metrics[0].objective["frac_reward_zero_std"] == 1)
    }

    @Test func aRolloutIsPassedOverWhereThePolicyHasGoneTooFar() throws {
        let run = try PolicyRun(epochs: 4, minibatches: 1, stopAtKL: 1e-9)
        let metrics = try run.train(steps: 4)
        // The first step is the policy itself, the second sees what the first did, the others are passed over.
        #expect(metrics.map { $0.tokens > 0 } == [true, true, false, false])
    }

    @Test func answersThatTheLimitEndedAreLeftOut() throws {
        func steps(leavesOutTruncated: Bool) throws -> [(example: Example, judged: [JudgedAnswer])] {
            let run = try PolicyRun(
                credit: GroupCredit(), answersPerPrompt: 8, epochs: 1, leavesOutTruncated: leavesOutTruncated)
            return try (0..<2).flatMap { step in
                try run.rollouts.step(step).batches.flatMap(\.examples).map { ($0, run.rollouts.answers(of: $0)) }
            }
        }
        let (all, kept) = try (steps(leavesOutTruncated: false), steps(leavesOutTruncated: true))
        #expect(all.contains { $0.judged.contains(where: \.isStopped) })
        #expect(all.contains { $0.judged.contains { !$0.isStopped } })
        // The same answers with the same advantages, less those that did not end; a prompt with none left goes.
        let ended = all.compactMap { example, judged in
            let indices = judged.indices.filter { judged[$0].isStopped }
            return indices.isEmpty
                ? nil
                : (indices.map { Array(example.tokens[example.range(ofAnswer: $0)]) }, indices.map { judged[$0] })
        }
        #expect(kept.count == ended.count)
        for (kept, ended) in zip(kept, ended) {
            #expect(
                kept.example.answers.indices.map { Array(kept.example.tokens[kept.example.range(ofAnswer: $0)]) }
                    == ended.0)
            #expect(
                kept.judged == ended.1
                    && kept.example.isTarget.count { $0 } == kept.judged.reduce(0) { $0 + $1.old.count })
        }
    }

    @Test func answersOfOneScoreAreNoPair() throws {
        func pairs(_ reward: any Reward, leavesOutTruncated: Bool = false) throws -> [[JudgedAnswer]] {
            let run = try PolicyRun(
                credit: GroupCredit(), loss: OnlinePairLoss(.sigmoid, beta: 0.1), answersPerPrompt: 2, epochs: 1,
                leavesOutTruncated: leavesOutTruncated, reward: reward)
            return try (0..<8).flatMap { step in
                try run.rollouts.step(step).batches.flatMap(\.examples).map { run.rollouts.answers(of: $0) }
            }
        }
        #expect(try pairs(SameForAll()).isEmpty)
        // 0.1 + 0.2 is not 0.3, and no better than it.
        #expect(try pairs(SameButForRounding()).isEmpty)
        let all = try pairs(PolicyRun.EvenTokens())
        #expect(!all.isEmpty && all.allSatisfy { $0.count == 2 && $0[0].score != $0[1].score })
        // Where one of two is left out, the other is no pair either.
        let ended = try pairs(PolicyRun.EvenTokens(), leavesOutTruncated: true)
        #expect(ended.count < all.count && ended.allSatisfy { $0.count == 2 && $0.allSatisfy(\.isStopped) })
    }

    @Test func aStepWithoutAnAnswerThatEndedChangesNothing() throws {
        // One answer a prompt of eight tokens at most: some steps have none that ended.
        let run = try PolicyRun(epochs: 1, minibatches: 4, leavesOutTruncated: true)
        let metrics = try run.train(steps: 8)
        #expect(metrics.contains { $0.tokens == 0 && $0.gradientNorm == 0 } && metrics.contains { $0.tokens > 0 })
        #expect(run.alarms.texts.isEmpty)
    }

    /// What the bonus adds to value and gradient, beside the entropy's own change along a direction.
    @Test func theEntropyBonusHasItsGradient() throws {
        let run = try PolicyRun(epochs: 1, minibatches: 1)
        let policy = Policy(run.model, adapters: ["default"], critic: Critic(run.valueHead), temperature: 0.9)
        let batch = try #require(run.rollouts.step(0).batches.first)
        func computed(_ coefficient: Double, _ tape: Tape? = nil) throws -> (loss: Double, entropy: Double) {
            var loss = PolicyLoss()
            loss.entropyCoefficient = coefficient
            let objective = PolicyOptimization(policy, run.rollouts, loss: loss)
            let result = objective.loss(batch, scale: [1 / Double(objective.counts(batch)[0])]) {
                ForwardContext($0, tape: tape, adapters: ["default"])
            }
            if let tape { tape.backward(from: try #require(result.loss)) }
            let entropy = try #require(result.sums["policy/entropy_avg"])
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
