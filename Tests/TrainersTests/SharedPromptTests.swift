import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// A prompt that its answers share is computed once, and gives what it gives when each answer has its own.
@Suite("Answers that share their prompt") struct SharedPromptTests {
    static func pairs() throws -> [Example] {
        try preferenceRows(JSON(contentsOf: Locations.fixture("preferences/tiny-dpo.json")))
    }

    /// Answers of one token, prompts of one and none, a group of three answers.
    static func odd() throws -> [Example] {
        func example(_ prompt: [Int32], _ answers: [[Int32]]) -> Example {
            var example = Example(
                tokens: prompt, isTarget: [Bool](repeating: false, count: prompt.count), row: prompt.count)
            for answer in answers {
                example.answers.append(example.tokens.count)
                example.isTarget += answer.indices.map { !prompt.isEmpty || $0 > 0 }
                example.tokens += answer
            }
            return example
        }
        return [
            example([5], [[6, 7], [8]]), example([], [[9, 10, 11], [12, 13]]), example([14, 15], [[16], [17]]),
            example(Array(20..<100), [[1, 2, 3], [4], Array(100..<150)]),
        ]
    }

    private func model(_ precision: Precision = .f32) throws -> CausalLM {
        var run = TinyRun()
        run.precision = precision
        return try run.adaptedModel()
    }

    @Test("log-probabilities are the same", arguments: Precision.allCases)
    func forward(_ precision: Precision) throws {
        let model = try model(precision)
        let evaluator = Evaluator(model, adapters: ["default"])
        for example in try Self.pairs() + Self.odd() {
            let shared = evaluator.logProbabilities([example])[0]
            let apart = example.answers.indices.flatMap { answer in
                evaluator.logProbabilities([example.sequence(ofAnswer: answer)])[0]
            }
            #expect(shared.count == example.targetCount)
            let tolerance = precision == .f32 ? 1e-5 : 2e-2
            #expect(isClose(shared, apart, relative: tolerance, absolute: tolerance))
        }
    }

    /// The gradient of DPO's loss over shared prompts, against one of the same coefficients over sequences that share nothing.
    @Test("losses and gradients are the same", arguments: [false, true])
    func gradients(_ trainsModel: Bool) throws {
        let pairs = Array(try Self.pairs()[..<6]) + Array(try Self.odd()[..<3])
        let model = try trainsModel ? TinyRun.model() : model()
        if trainsModel { model.setTrainable(true) }
        let adapters = trainsModel ? [] : ["default"]
        let reference = ReferenceLogProbabilities(pairs, of: try TinyRun.model(), adapters: [])
        let objective = DPO(model, reference: .known(reference))
        let batch = Batch(examples: pairs)
        let scale = objective.counts(batch).map { 1 / Double($0) }
        let tape = Tape()
        let result = objective.loss(batch, scale: scale) { ForwardContext($0, tape: tape, adapters: adapters) }
        tape.backward(from: try #require(result.loss))
        let shared = takeGradients(model)

        let evaluator = Evaluator(model, adapters: adapters)
        let answers = pairs.map { pair in
            pair.answers.indices.map { answer in
                AnswerScores(
                    policy: evaluator.logProbabilities([pair.sequence(ofAnswer: answer)])[0],
                    reference: reference[pair][answer])
            }
        }
        let apart = PairLoss()(answers, pairScale: scale[0], tokenScale: scale[1])
        #expect(isClose(Double(try #require(result.loss).scalar), apart.loss, relative: 1e-5))
        for (pair, gradient) in zip(pairs, apart.gradient) {
            for answer in pair.answers.indices {
                let sequence = pair.sequence(ofAnswer: answer)
                let targets = sequence.isTarget.indices.filter { sequence.isTarget[$0] }
                let tape = Tape()
                let loss = model.score(
                    sequence.tokens, rows: targets.map { Int32($0 - 1) }, targets: targets.map { sequence.tokens[$0] },
                    coefficients: gradient[answer],
                    ForwardContext(
                        SequenceLayout([.init(count: sequence.tokens.count)]), tape: tape, adapters: adapters)
                ).loss
                tape.backward(from: try #require(loss))
            }
        }
        let unshared = takeGradients(model)
        #expect(shared.count == unshared.count && !shared.isEmpty)
        for (path, gradient) in unshared {
            #expect(relativeDifference(shared[path] ?? [], gradient) < 1e-5, "\(path)")
        }
    }

    private func takeGradients(_ model: CausalLM) -> [String: [Float]] {
        model.trainableParameters().reduce(into: [:]) { gradients, entry in
            gradients[entry.path] = entry.parameter.gradient?.values
            entry.parameter.gradient = nil
        }
    }

    @Test("fewer tokens are read, and no row is scored twice")
    func saving() throws {
        let example = try Self.odd()[3]
        #expect(example.tokens.count == 80 + 3 + 1 + 50)
        #expect((0..<3).reduce(0) { $0 + example.sequence(ofAnswer: $1).tokens.count } == 3 * 80 + 54)
    }

    @Test("accumulation and passes do not change a step of losses that take pairs one by one")
    func accumulation() throws {
        let pairs = Array(try Self.pairs()[..<8])
        func trained(_ size: Int, _ accumulation: Int, _ tokensPerPass: Int) throws -> [String: [Float]] {
            let model = try model()
            var loss = PairLoss()
            loss.terms = [(.sigmoid, 1), (.sft, 0.5), (.ipo, 0.1)]
            let plan = try BatchPlan(
                lengths: pairs.map(\.tokens.count), size: .rows(size), shuffle: false, seed: 0,
                accumulation: accumulation)
            let loop = TrainingLoop(
                model: model, adapters: ["default"],
                objective: DPO(model, reference: .model(model, adapters: []), loss: loss),
                optimizer: SGD(momentum: 0.9),
                batches: PlannedBatches(plan) { pairs[$0] },
                options: TrainingOptions(
                    totalSteps: 3, learningRate: 1e-2, schedule: Schedule(.constant, warmupSteps: 0, totalSteps: 3),
                    maxGradientNorm: nil, tokensPerPass: tokensPerPass), hooks: TrainingHooks())
            #expect(try loop.run() == .finished)
            return Dictionary(
                model.trainableParameters().map { ($0.path, $0.parameter.value.values) }, uniquingKeysWith: { $1 })
        }
        let whole = try trained(8, 1, .max)
        for (size, accumulation, tokens) in [(1, 8, Int.max), (2, 4, .max), (3, 3, .max), (8, 1, 150)] {
            let parts = try trained(size, accumulation, tokens)
            for (path, values) in whole {
                #expect(relativeDifference(parts[path] ?? [], values) < 2e-5, "\(path) in batches of \(size)")
            }
        }
    }

    @Test("what the reference said is read back, and nothing else in its place")
    func precomputed() throws {
        let pairs = try Self.pairs()
        let model = try TinyRun.model()
        let folder = try TemporaryFolder()
        let path = folder.file("a.logps")
        let computed = ReferenceLogProbabilities(pairs, of: model, adapters: [])
        try computed.write(to: path, for: pairs)
        let read = try #require(ReferenceLogProbabilities(path: path, for: pairs))
        for pair in pairs { #expect(read[pair] == computed[pair]) }
        #expect(ReferenceLogProbabilities(path: path, for: Array(pairs.dropLast())) == nil)
        #expect(
            ReferenceLogProbabilities.fileKey(pairs, identity: ["a"])
                != ReferenceLogProbabilities.fileKey(pairs, identity: ["b"]))
        #expect(
            ReferenceLogProbabilities.fileKey(pairs, identity: ["a"])
                != ReferenceLogProbabilities.fileKey(Array(pairs.dropLast()), identity: ["a"]))
        // In each batch as in the whole: the same bits.
        let objective = DPO(model, reference: .known(read))
        let other = DPO(model, reference: .model(model, adapters: []))
        let batch = Batch(examples: Array(pairs[3..<6]))
        func loss(_ objective: DPO) -> Double? {
            objective.loss(batch, scale: [1 / 3, 1]) { ForwardContext($0) }.sums["loss"]?.sum
        }
        #expect(loss(objective) == loss(other) && loss(other) == 0.693147180559945309)
    }
}
