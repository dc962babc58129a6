import Adapters
import Datasets
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// What rewards and their gradients must be whatever stands beside them.
@Suite("Rewards of answers that share their prompt") struct RewardEqualityTests {
    private func pairs() throws -> [Example] {
        try RewardModelTests.pairs(RewardModelTests.golden("tiny-margins"))
    }

    private func model(_ precision: Precision = .f32) throws -> CausalLM {
        let model = try RewardModelTests.classifier(precision: precision)
        var lora = LoRAConfiguration()
        lora.r = 4
        lora.loraDropout = 0.1
        lora.initialization = .random
        lora.modulesToSave = ["score"]
        try attach(lora, to: model, seed: 3)
        return model
    }

    @Test("are those of each answer alone, and do not depend on what is in the batch", arguments: Precision.allCases)
    func sharing(_ precision: Precision) throws {
        let (model, pairs) = (try model(precision), try pairs() + SharedPromptTests.odd())
        let scorer = RewardScorer(model, adapters: ["default"])
        let together = scorer.rewards(pairs)
        #expect(together == pairs.map { scorer.rewards([$0])[0] })
        #expect(RewardScorer(model, adapters: ["default"], tokensPerPass: 200).rewards(pairs) == together)
        let tolerance = precision == .f32 ? 1e-5 : 3e-2
        for (pair, shared) in zip(pairs, together) {
            for (answer, reward) in shared.enumerated() {
                let tokens = pair.sequence(ofAnswer: answer).tokens
                let context = ForwardContext(SequenceLayout([.init(count: tokens.count)]), adapters: ["default"])
                let alone = model.rewards(tokens, rows: [Int32(tokens.count - 1)], context).scalar
                #expect(isClose(reward, Double(alone), relative: tolerance, absolute: tolerance))
            }
        }
        // The same answers the other way round, to the bit.
        let swapped = pairs.map { pair in
            Example(
                prompt: Array(pair.tokens[..<pair.answers[0]]),
                answers: pair.answers.indices.reversed().map { Array(pair.tokens[pair.range(ofAnswer: $0)]) },
                row: pair.row)
        }
        #expect(scorer.rewards(swapped) == together.map { $0.reversed() })
    }

    @Test("gradients are those of finite differences", arguments: [false, true])
    func gradients(_ isFull: Bool) throws {
        let model = try isFull ? RewardModelTests.classifier() : model()
        if isFull { model.setTrainable(true) }
        let adapters = isFull ? [] : ["default"]
        var loss = RewardLoss()
        loss.centering = 0.1
        let objective = RewardObjective(model, loss: loss)
        let batch = Batch(examples: Array(try pairs()[..<3]))
        let tape = Tape()
        let result = objective.loss(batch, scale: [1.0 / 3]) { ForwardContext($0, tape: tape, adapters: adapters) }
        tape.backward(from: try #require(result.loss))
        let parameters = model.trainableParameters()
        #expect(
            parameters.contains { $0.path.hasPrefix("score.") } && !parameters.contains { $0.path.contains("lm_head") })
        for (path, parameter) in parameters {
            let gradient = try #require(parameter.gradient, "\(path)").values
            // Along its own gradient the loss changes by the gradient's length.
            let length = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            guard length > 1e-4 else { continue }
            let start = parameter.value
            func value(_ step: Double) -> Double {
                parameter.value = Tensor(
                    zip(start.values, gradient).map { Float(Double($0) + step * Double($1) / length) },
                    shape: start.shape)
                return objective.loss(batch, scale: [1.0 / 3]) { ForwardContext($0, adapters: adapters) }
                    .sums["loss"]?.sum ?? .nan
            }
            let size = 2e-3
            let slope = (value(size) - value(-size)) / (2 * size)
            parameter.value = start
            #expect(isClose(slope, length, relative: 2e-2, absolute: 1e-3), "\(path)")
        }
    }

    @Test("accumulation and passes do not change a step, nor its smallest and largest reward")
    func accumulation() throws {
        let pairs = Array(try pairs()[..<8])
        func trained(_ size: Int, _ accumulation: Int, _ tokens: Int) throws -> ([String: [Float]], [StepMetrics]) {
            let model = try model()
            let steps = try RewardRun(pairs: pairs, size: size, accumulation: accumulation, tokensPerPass: tokens)(
                model)
            let values = model.trainableParameters().map { ($0.path, $0.parameter.value.values) }
            return (Dictionary(values, uniquingKeysWith: { $1 }), steps)
        }
        let (whole, steps) = try trained(8, 1, .max)
        #expect(steps.allSatisfy { ($0.objective["min_reward"] ?? 0) < ($0.objective["max_reward"] ?? 0) })
        for (size, accumulation, tokens) in [(1, 8, Int.max), (2, 4, .max), (3, 3, .max), (8, 1, 150)] {
            let (parts, others) = try trained(size, accumulation, tokens)
            for (path, values) in whole {
                #expect(relativeDifference(parts[path] ?? [], values) < 2e-5, "\(path) in batches of \(size)")
            }
            for (step, other) in zip(steps, others) {
                for (name, value) in step.objective {
                    #expect(isClose(other.objective[name] ?? .nan, value, relative: 1e-5, absolute: 1e-5), "\(name)")
                }
            }
        }
    }
}
