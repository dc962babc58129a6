import Files
import Layers
import Tensors

/// Prefix tuning: in every layer, learned keys and values stand before those of every sequence.
///
/// They are read as they are, without rotation, and take the positions from 0; a sequence's own tokens follow. With `prefix_projection`
/// training goes through a small network, `keys and values = W₂ tanh(W₁ e + b₁) + b₂` of learned embeddings e, and what is saved is what it
/// gives.
///
/// Source: Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", arXiv:2101.00190. Keys and defaults are those of
/// PEFT's `PrefixTuningConfig`.
public struct PrefixTuningConfiguration: AdapterConfiguration {
    /// `prefix`.
    public static let type = "prefix"
    /// `PREFIX_TUNING`.
    public static let peftType = "PREFIX_TUNING"
    /// It is no change of weights.
    public static let mergeRefusal: String? =
        "prefix tuning learns keys and values that stand before the text and changes no weight: it cannot be merged"
    /// The widths of the projection that are taken.
    public static let hiddenSizes = 1...1_048_576

    /// How many virtual tokens there are.
    public var virtualTokens: Int
    /// Whether training goes through the network.
    public var hasProjection = false
    /// The width of its hidden layer; nil: as wide as a layer's keys.
    public var hiddenSize: Int?
    /// Whether all keys and values start at zero, instead of normal with deviation 1 (without the network) or as it makes them.
    public var startsAtZero = false
    private var base: PromptBase?

    /// Virtual tokens that start at random.
    public init(virtualTokens: Int) { self.virtualTokens = virtualTokens }

    /// Checks the numbers.
    public func validate() throws {
        try PromptBase.check(count: virtualTokens)
        if let hiddenSize, !Self.hiddenSizes.contains(hiddenSize) {
            throw InputError(
                "`encoder_hidden_size`: a whole number from \(Self.hiddenSizes.lowerBound) to \(Self.hiddenSizes.upperBound) "
                    + "is needed, not \(hiddenSize)")
        }
    }

    /// One table on the decoder stack. A saved one goes on without the network, which is not in the file.
    public func plan(for modules: AdaptableModules, strict: Bool) throws -> [AdapterPlan] {
        let (path, stack) = try modules.stack()
        let model = Self.sizes(of: stack)
        if !strict { try base?.check(against: Self.base(model)) }
        let shape = [virtualTokens, 2 * model.layers * model.keys]
        return [
            AdapterPlan(path: path, shapes: [("prompt_embeddings", shape)]) { seed in
                var generator = RandomGenerator(RandomKey(seed: seed, purpose: "prompt_embeddings"))
                if strict && hasProjection {
                    return ProjectedPrefixAdapter(
                        count: virtualTokens, keys: model.keys, hidden: hiddenSize ?? model.keys,
                        layers: model.layers, startsAtZero: startsAtZero, &generator)
                }
                let isZero = !strict || startsAtZero
                return PrefixAdapter(
                    isZero ? .zeros(shape) : normal(shape, &generator), keys: model.keys)
            }
        ]
    }

    private static func sizes(of stack: any DecoderStack) -> (layers: Int, heads: Int, keys: Int) {
        let shape = stack.layers.first?.attention.shape
        let heads = shape?.keyValueHeads ?? 0
        return (stack.layers.count, heads, heads * (shape?.headDimension ?? 0))
    }

    private static func base(_ sizes: (layers: Int, heads: Int, keys: Int)) -> PromptBase {
        PromptBase(layers: sizes.layers, heads: sizes.heads, dimension: sizes.keys)
    }
}

/// The keys and values of every layer: row i is virtual token i, with layer 0's keys, its values, layer 1's keys and so on.
public final class PrefixAdapter: VirtualTokenAdapter {
    /// `[count, layers · 2 · kvHeads · headDimension]`.
    public let embeddings: Parameter
    private let keys: Int

    init(_ embeddings: Tensor, keys: Int) {
        self.embeddings = Parameter(embeddings)
        self.keys = keys
    }

    /// The table.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("prompt_embeddings", embeddings)] }
    /// Its rows.
    public var count: Int { embeddings.value.rows }
    /// The table, layer by layer.
    public func tokens(_ context: ForwardContext) -> VirtualTokens {
        .keysAndValues(keysAndValues(context.value(embeddings), width: keys))
    }
}

/// The network that makes the table in training, under the names of PEFT's parameters.
public final class ProjectedPrefixAdapter: VirtualTokenAdapter {
    /// `embedding`, `transform.0` and `transform.2`, with their biases.
    public let ownParameters: [(name: String, parameter: Parameter)]
    private let keys: Int

    init(
        count: Int, keys: Int, hidden: Int, layers: Int, startsAtZero: Bool, _ generator: inout RandomGenerator
    ) {
        // PyTorch's linear layers start uniform in ±1/√inputs, bias included.
        func uniform(_ shape: [Int], inputs: Int) -> Tensor {
            let bound = 1 / Double(inputs).squareRoot()
            return Tensor(
                (0..<shape.reduce(1, *)).map { _ in Float((2 * generator.uniform() - 1) * bound) }, shape: shape)
        }
        let outputs = 2 * layers * keys
        let values: [(String, Tensor)] = [
            ("embedding.weight", normal([count, keys], &generator)),
            ("transform.0.weight", uniform([hidden, keys], inputs: keys)),
            ("transform.0.bias", uniform([hidden], inputs: keys)),
            (
                "transform.2.weight",
                startsAtZero ? .zeros([outputs, hidden]) : uniform([outputs, hidden], inputs: hidden)
            ),
            ("transform.2.bias", startsAtZero ? .zeros([outputs]) : uniform([outputs], inputs: hidden)),
        ]
        ownParameters = values.map { ($0.0, Parameter($0.1)) }
        self.keys = keys
    }

    /// The rows of the embedding.
    public var count: Int { ownParameters[0].parameter.value.rows }

    /// What the network gives, layer by layer.
    public func tokens(_ context: ForwardContext) -> VirtualTokens {
        .keysAndValues(keysAndValues(table(context.value), width: keys))
    }

    /// The table that the network makes.
    public var savedTensors: [(name: String, value: Tensor)] { [("prompt_embeddings", table(\.value))] }

    private func table(_ value: (Parameter) -> Tensor) -> Tensor {
        let parts = ownParameters.map { value($0.parameter) }
        let hidden = LinearOperands(weight: parts[1], bias: parts[2])(parts[0]).activated(by: .tanh)
        return LinearOperands(weight: parts[3], bias: parts[4])(hidden)
    }
}

private func keysAndValues(_ table: Tensor, width: Int) -> [OutsideKeys] {
    let blocks = table.columnBlocks(width)
    return stride(from: 0, to: blocks.count, by: 2).map { OutsideKeys(keys: blocks[$0], values: blocks[$0 + 1]) }
}

private func normal(_ shape: [Int], _ generator: inout RandomGenerator) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { _ in Float(generator.normal()) }, shape: shape)
}

// MARK: - adapter_config.json

extension PrefixTuningConfiguration {
    /// Reads PEFT's keys; see ``AdapterConfiguration/init(_:)``.
    public init(_ reader: inout PEFTReader) throws {
        self.init(virtualTokens: try reader.virtualTokens())
        hasProjection = try reader.flag("prefix_projection", default: false)
        hiddenSize = try reader.take("encoder_hidden_size", default: nil, "a whole number") { $0.integer }
        switch reader.take("init_weights") {
        case nil: startsAtZero = false
        case "zero": startsAtZero = true
        case .some(let value):
            throw reader.fault("init_weights", "init_weights: \(value.text()) is not supported; null and \"zero\" are")
        }
        base = try PromptBase(&reader)
    }

    /// The keys as PEFT 0.21 writes them.
    public func peftKeys(for modules: AdaptableModules) throws -> [String: JSON] {
        let model = Self.sizes(of: try modules.stack().stack)
        return Self.base(model).keys.merging([
            "num_virtual_tokens": .integer(virtualTokens), "prefix_projection": .bool(hasProjection),
            "encoder_hidden_size": .integer(hiddenSize ?? model.keys),
            "init_weights": startsAtZero ? "zero" : .null,
        ]) { $1 }
    }
}
