import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Training runs of the tiny model on the rows of the fixtures, put together the way a recipe is.
struct TinyRun {
    var rows = TinyRun.rows
    var size = BatchSize.rows(2)
    var accumulation = 1
    var shuffle = false
    var dropout = 0.1
    var precision = Precision.f32
    /// How the frozen weights are stored; as products take them where nil.
    var weights: DType?
    var seed: UInt64 = 7
    var options = TrainingOptions(
        totalSteps: 6, learningRate: 1e-2, schedule: Schedule(.linear, warmupSteps: 2, totalSteps: 20))
    var makeOptimizer: () -> any Optimizer = { AdamW() }

    /// A tiny model, frozen.
    static func model(
        _ name: String = "tiny-llama", precision: Precision = .f32, weights: DType? = nil
    ) throws -> CausalLM {
        try ModelRegistry.load(
            Locations.fixture("models/\(name)"), weights: weights ?? precision.activations, precision: precision
        ).model
    }

    /// Twenty-four conversations of 50 to 120 tokens, every token trained.
    static let rows: [Example] =
        (try? prepared(JSON(contentsOf: Locations.fixture("training/tiny-all.json")))) ?? []

    /// The rows of a golden run as TRL prepared them.
    static func prepared(_ golden: JSON) -> [Example] {
        (golden["prepared"]?.array ?? []).enumerated().map { row, prepared in
            let tokens = (prepared["tokens"]?.array ?? []).compactMap { $0.integer.map(Int32.init) }
            let trained = (prepared["trained"]?.array ?? []).map { $0.integer == 1 }
            return Example(tokens: tokens, isTarget: [false] + trained.dropFirst(), row: row)
        }
    }

    /// The tiny model with a LoRA adapter on every linear layer, A and B random so that all gradients flow from the start.
    func adaptedModel(_ name: String = "tiny-llama") throws -> CausalLM {
        let model = try Self.model(name, precision: precision, weights: weights)
        var lora = LoRAConfiguration()
        lora.r = 4
        lora.loraDropout = dropout
        lora.initialization = .random
        try attach(lora, to: model, seed: seed)
        return model
    }

    func batches() throws -> PlannedBatches {
        let plan = try BatchPlan(
            lengths: rows.map(\.tokens.count), size: size, shuffle: shuffle, seed: seed, accumulation: accumulation)
        return PlannedBatches(plan) { rows[$0] }
    }

    /// A loop over `model`, whose active adapters are `adapters`.
    func loop(
        _ model: CausalLM, _ optimizer: any Optimizer, adapters: [String] = ["default"],
        hooks: TrainingHooks = TrainingHooks(), state: TrainingState = TrainingState()
    ) throws -> TrainingLoop {
        TrainingLoop(
            model: model, adapters: adapters, objective: SFT(model), optimizer: optimizer, batches: try batches(),
            options: options, hooks: hooks, state: state)
    }

    /// Trains to the end; a model with an adapter on every layer where none is given.
    func result(_ given: CausalLM? = nil) throws -> TrainedModel {
        let model = try given ?? adaptedModel()
        let optimizer = makeOptimizer()
        var steps: [StepMetrics] = []
        #expect(try loop(model, optimizer, hooks: TrainingHooks(didStep: { steps.append($0) })).run() == .finished)
        return TrainedModel(model, optimizer, steps)
    }
}

/// What a run leaves behind.
struct TrainedModel {
    /// The trainable parameters' elements, by path.
    var parameters: [String: [Float]]
    /// The optimizer's state, by name.
    var state: [String: [Float]]
    /// Each step's line of metrics, times left out.
    var lines: [String]
    /// Each step's metrics.
    var steps: [StepMetrics]

    init(_ model: CausalLM, _ optimizer: any Optimizer, _ steps: [StepMetrics]) {
        parameters = Dictionary(
            model.trainableParameters().map { ($0.path, $0.parameter.value.values) }, uniquingKeysWith: { $1 })
        state = optimizer.state.mapValues(\.values)
        lines = steps.map { timeless($0.json) }
        self.steps = steps
    }

    /// Equal to the bit in all that a run leaves behind.
    func isIdentical(to other: TrainedModel) -> Bool {
        !lines.isEmpty && lines == other.lines && isSameModel(as: other)
    }

    /// Equal to the bit in weights and optimizer state.
    func isSameModel(as other: TrainedModel) -> Bool {
        !parameters.isEmpty && bits(parameters) == bits(other.parameters) && bits(state) == bits(other.state)
    }

    private func bits(_ tensors: [String: [Float]]) -> [String: [UInt32]] {
        tensors.mapValues { $0.map(\.bitPattern) }
    }

    /// The largest difference of a parameter from the other run's, relative to the tensor's largest element.
    func difference(from other: TrainedModel) -> Double {
        guard parameters.keys == other.parameters.keys else { return .infinity }
        return parameters.map { path, values in relativeDifference(values, other.parameters[path] ?? []) }.max() ?? 0
    }
}

/// A line of metrics without what depends on the clock and the machine.
func timeless(_ line: JSON) -> String {
    JSON(
        members: (line.object ?? [:]).elements.map { ($0.key, $0.value) }.filter {
            !["tokens_per_second", "peak_memory_bytes"].contains($0.0)
        }
    ).text()
}

/// The largest difference of two lists, relative to the largest element of the second; infinite where they cannot be compared.
func relativeDifference(_ a: [Float], _ b: [Float]) -> Double {
    let largest = Double(b.map(abs).max() ?? 0)
    guard a.count == b.count, largest > 0, largest.isFinite else { return .infinity }
    let differences = zip(a, b).map { abs(Double($0) - Double($1)) / largest }
    return differences.allSatisfy(\.isFinite) ? differences.max() ?? 0 : .infinity
}
