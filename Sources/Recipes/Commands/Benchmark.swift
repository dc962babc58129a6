import Datasets
import Files
import Layers
import Models
import Tensors
import Trainers

/// How fast a recipe trains on this machine.
public struct BenchmarkReport: Sendable {
    /// Real tokens a second over the steps measured; there is no padding.
    public var tokensPerSecond: Double
    /// Of those, the tokens that count in the loss.
    public var trainedTokensPerSecond: Double
    /// Seconds of each step measured.
    public var stepSeconds: [Double]
    /// Seconds from the start to the first step: model, tokenizer and rows.
    public var loadSeconds: Double
    /// The most memory the process held.
    public var peakMemoryBytes: Int
    /// Of that, the most that tensors held at once while training.
    public var peakTensorBytes: Int
    /// Of that, what the model's parameters take as they are stored.
    public var parameterBytes: Int
    /// Multiply-adds that the steps needed, a second; the head on trained rows only.
    public var multiplyAddsPerSecond: Double
    /// Multiply-adds a second of Graft's own matrix product on the model's shapes, at 4096 rows and in the recipe's precision.
    public var productRate: Double
    /// Threads that kernels ran on.
    public var threads: Int
    /// The kernels chosen.
    public var kernelPath: String
    /// Seconds of the steps measured by kind of work, longest first; what no kernel accounts for is the last, `other`.
    public var timeByWork: [(work: String, seconds: Double)]

    /// The share of the machine's own rate that training reached.
    public var shareOfProductRate: Double { multiplyAddsPerSecond / productRate }

    /// The report as an object.
    public var json: JSON {
        [
            "tokens_per_second": .number(tokensPerSecond), "trained_tokens_per_second": .number(trainedTokensPerSecond),
            "step_seconds": .array(stepSeconds.map { .number($0) }), "load_seconds": .number(loadSeconds),
            "peak_memory_bytes": .integer(peakMemoryBytes), "peak_tensor_bytes": .integer(peakTensorBytes),
            "parameter_bytes": .integer(parameterBytes), "multiply_adds_per_second": .number(multiplyAddsPerSecond),
            "product_multiply_adds_per_second": .number(productRate),
            "share_of_product_rate": .number(shareOfProductRate), "threads": .integer(threads),
            "kernel_path": .string(kernelPath),
            "seconds_by_work": .object(
                .init(timeByWork.map { ($0.work, .number($0.seconds)) }, uniquingKeysWith: { $1 })),
        ]
    }
}

extension Commands {
    /// Trains a few steps of a recipe without writing anything, and measures them. The first step is not counted.
    ///
    /// - Parameters:
    ///   - recipe: what to train.
    ///   - steps: how many steps to measure.
    ///   - observer: takes what happens on the way.
    /// - Returns: speeds and memory.
    /// - Throws: ``InputError`` for a fault in what is read.
    public static func benchmark(
        _ recipe: Recipe, steps: Int = 5, observer: @escaping RunObserver = { _ in }
    ) throws -> BenchmarkReport {
        let start = ContinuousClock.now
        Device.cpu.threads = recipe.training.threads
        let session = try ModelSession(
            recipe.model, trainable: recipe.training.trainableParameters, task: recipe.modelTask, observer: observer)
        let weights = try TrainedWeights(recipe, session)
        let data = try RunData(recipe, session, observer: observer)
        if recipe.objective.policy != nil {
            throw InputError(
                "`objective.type` writes its own batches as it trains, which has no steps of equal work to measure",
                hint: "Measure another objective on the same model, and generation with `graft generate`")
        }
        let loadSeconds = (ContinuousClock.now - start) / .seconds(1)
        let work = TrainingWork(session.model, recipe: recipe)
        var counted: [(metrics: StepMetrics, work: Double)] = []
        let counting = try data.makeBatches()
        let hooks = TrainingHooks(didStep: { metrics in
            if metrics.step == 1 { Device.cpu.keepWorkTimes(true) }
            observer(.step(StepReport(metrics, steps: steps + 1)))
            let batches = try counting.step(metrics.step - 1).batches
            counted.append((metrics, batches.reduce(0) { $0 + work.multiplyAdds($1) }))
        })
        var options = try recipe.trainingOptions(totalSteps: steps + 1)
        options.evaluationSteps = nil
        options.saveSteps = nil
        let reference = try PreferenceReference(recipe, session, weights, data, observer: observer)
        let objective = recipe.objective(of: session.model, reference: reference?.model)
        _ = try TrainingLoop(
            model: session.model, adapters: weights.active, objective: objective,
            optimizer: recipe.optimizer.makeOptimizer(), batches: data.makeBatches(),
            options: options, hooks: hooks
        ).run()
        let times = Device.cpu.workTimes
        Device.cpu.keepWorkTimes(false)
        let measured = counted.dropFirst()
        let seconds = measured.map { Double($0.metrics.tokens) / $0.metrics.tokensPerSecond }
        let total = seconds.reduce(0, +)
        func rate(_ amount: (StepMetrics) -> Int) -> Double {
            Double(measured.reduce(0) { $0 + amount($1.metrics) }) / total
        }
        return BenchmarkReport(
            tokensPerSecond: rate(\.tokens), trainedTokensPerSecond: rate(\.trainedTokens), stepSeconds: seconds,
            loadSeconds: loadSeconds, peakMemoryBytes: processPeakMemory(),
            peakTensorBytes: Device.cpu.memory.peakUsedBytes,
            parameterBytes: session.model.parameters().reduce(0) { $0 + $1.parameter.value.byteCount },
            multiplyAddsPerSecond: measured.reduce(0) { $0 + $1.work } / total, productRate: productRate(session.model),
            threads: Device.cpu.threads, kernelPath: Device.cpu.path,
            timeByWork: times.map { ($0.work, $0.seconds) }
                + [("other", total - times.reduce(0) { $0 + $1.seconds })])
    }

    /// Multiply-adds a second of `y = x Wᵀ` in the model's precision over the linear layers of one block, 4096 rows; the best of three.
    private static func productRate(_ model: CausalLM) -> Double {
        let rows = 4096
        let layers = model.modules().filter { $0.path.hasPrefix("model.layers.0.") }.compactMap { $0.module as? Linear }
        let inputs = Dictionary(grouping: layers, by: \.inputSize).mapValues {
            Tensor(repeating: 0.5, shape: [rows, $0[0].inputSize]).stored(as: model.precision.activations)
        }
        let work = Double(rows) * layers.reduce(0.0) { $0 + Double($1.inputSize * $1.outputSize) }
        let best = (0..<3).map { _ in
            let start = ContinuousClock.now
            for layer in layers {
                let operands = LinearOperands(weight: layer.weight.value, precision: model.precision)
                if let x = inputs[layer.inputSize] {
                    _ = linear(x, through: [operands], as: [model.precision.activations])
                }
            }
            return (ContinuousClock.now - start) / .seconds(1)
        }.min()
        return work / (best ?? .infinity)
    }
}

/// How many multiply-adds a training step needs, from shapes alone. Roughly: a model that is trained in part counts as trained in full,
/// and a reference model's pass is left out.
private struct TrainingWork {
    /// A token's products outside the head: forward, and backward to the input; for trained weights to them too.
    private let perToken: Double
    /// A target's products in the head.
    private let perTarget: Double
    /// A token's products with each key it reads, forward and backward, over all layers.
    private let perKey: Double

    init(_ model: CausalLM, recipe: Recipe) {
        let (configuration, isFull) = (model.configuration, recipe.adapter == nil)
        let linears = model.modules().filter { $0.path != "lm_head" }.compactMap { $0.module as? Linear }
        let frozen = linears.reduce(0.0) { $0 + Double($1.inputSize * $1.outputSize) }
        let adapters = isFull ? 0 : model.trainableParameters().reduce(0.0) { $0 + Double($1.parameter.value.count) }
        perToken = frozen * (isFull ? 3 : 2) + adapters * 3
        perTarget =
            model.isSequenceClassifier
            ? 0 : Double(configuration.vocabularySize * configuration.hiddenSize) * (isFull ? 3 : 2)
        // q kᵀ and p v forward; backward their two gradients each.
        perKey = Double(configuration.layers * configuration.heads * configuration.headDimension) * 6
    }

    func multiplyAdds(_ batch: Batch) -> Double {
        batch.examples.reduce(0) { sum, example in
            let tokens = Double(example.tokens.count)
            return sum + tokens * perToken + Double(example.targetCount) * perTarget + tokens * (tokens + 1) / 2
                * perKey
        }
    }
}
