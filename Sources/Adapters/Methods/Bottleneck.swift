import Files
import Layers
import Tensors

/// Bottleneck adapters: behind attention and the MLP of each block, or behind the MLP alone, two thin layers with a nonlinearity between:
/// `y ← y + W₂ f(W₁ y + b₁) + b₂`, before y joins the residual stream.
///
/// W₂ and its bias start at zero, so that the adapter changes nothing at first. PEFT has no such method: the files are this program's own, in
/// PEFT's form.
///
/// Sources: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", arXiv:1902.00751; Pfeiffer et al., "AdapterFusion",
/// arXiv:2005.00247, for the one behind the MLP alone.
public struct BottleneckConfiguration: AdapterConfiguration {
    /// `bottleneck`.
    public static let type = "bottleneck"
    /// `BOTTLENECK`.
    public static let peftType = "BOTTLENECK"
    /// It is no change of weights.
    public static let mergeRefusal: String? =
        "bottleneck adapters are layers of their own with a nonlinearity in them: they cannot be merged into weights"
    /// The reduction factors that are taken.
    public static let factors = 1...65536

    /// Which parts of a block get one.
    public enum Placement: String, CaseIterable, Sendable {
        /// Attention and MLP.
        case houlsby
        /// The MLP.
        case pfeiffer

        var parts: [BlockPart] { self == .houlsby ? [.attention, .mlp] : [.mlp] }
    }

    /// Which parts of a block get one.
    public var placement = Placement.houlsby
    /// The model's width divided by the bottleneck's, which is rounded down and at least 1.
    public var reductionFactor = 16
    /// f.
    public var nonlinearity = Activation.relu
    /// Whether y itself goes on beside the bottleneck; without it the adapter does not start as nothing.
    public var isResidual = true
    /// Decoder layers from 0; nil for all.
    public var layers: [Int]?
    /// Whether W₂ starts at zero; otherwise it is random. For tests.
    public var startsAtZero = true

    /// Both parts of every layer, a sixteenth of the width, `relu`.
    public init() {}

    /// Checks the factor and the layers' numbers.
    public func validate() throws {
        guard Self.factors.contains(reductionFactor) else {
            throw InputError(
                "`reduction_factor`: a whole number from \(Self.factors.lowerBound) to \(Self.factors.upperBound) is needed, "
                    + "not \(reductionFactor)")
        }
        if let layer = layers?.first(where: { $0 < 0 }) {
            throw InputError("`layers_to_transform` counts from 0; there is no layer \(layer)")
        }
    }

    /// The pair of matrices of each part of each layer.
    public func plan(for modules: AdaptableModules, strict: Bool) throws -> [AdapterPlan] {
        let blocks = modules.adaptable.compactMap { path, module in (module as? DecoderLayer).map { (path, $0) } }
        if let layer = layers?.first(where: { !blocks.indices.contains($0) }) {
            throw InputError("`layers_to_transform`: there is no layer \(layer), the model has \(blocks.count)")
        }
        guard !blocks.isEmpty, layers?.isEmpty != true else { throw InputError("there is no layer to adapt") }
        return blocks.enumerated().filter { layers?.contains($0.offset) ?? true }.map { _, block in
            let (path, width) = (block.0, block.1.attention.shape.hiddenSize)
            let narrow = max(1, width / reductionFactor)
            let shapes = placement.parts.flatMap { part -> [(name: String, shape: [Int])] in
                let name = BottleneckAdapter.name(of: part)
                return [
                    ("\(name).down.weight", [narrow, width]), ("\(name).down.bias", [narrow]),
                    ("\(name).up.weight", [width, narrow]), ("\(name).up.bias", [width]),
                ]
            }
            return AdapterPlan(path: path, shapes: shapes) { seed in
                let values = shapes.map { name, shape in start("\(path).\(name)", shape, seed) }
                return BottleneckAdapter(
                    values, placement.parts, nonlinearity: nonlinearity, isResidual: isResidual)
            }
        }
    }

    /// Uniform in ±1/√inputs for W₁, zero for the rest.
    private func start(_ path: String, _ shape: [Int], _ seed: UInt64) -> Tensor {
        guard path.hasSuffix("down.weight") || (!startsAtZero && path.hasSuffix("weight")) else { return .zeros(shape) }
        var generator = RandomGenerator(RandomKey(seed: seed, purpose: path))
        let bound = 1 / Double(shape[1]).squareRoot()
        return Tensor((0..<shape[0] * shape[1]).map { _ in Float((2 * generator.uniform() - 1) * bound) }, shape: shape)
    }
}

/// The bottlenecks of one block.
public final class BottleneckAdapter: BlockAdapter {
    /// W₁ with b₁ and W₂ with b₂.
    private final class Pair: Module {
        let down: Linear
        let up: Linear

        init(_ values: ArraySlice<Tensor>) {
            let parameters = values.map { Parameter($0) }
            down = Linear(weight: parameters[0], bias: parameters[1])
            up = Linear(weight: parameters[2], bias: parameters[3])
        }

        var children: [(name: String, module: any Module)] { [("down", down), ("up", up)] }
    }

    private let pairs: [(part: BlockPart, pair: Pair)]
    private let nonlinearity: Activation
    private let isResidual: Bool

    /// Four tensors for each part.
    init(_ values: [Tensor], _ parts: [BlockPart], nonlinearity: Activation, isResidual: Bool) {
        pairs = parts.enumerated().map { ($1, Pair(values[4 * $0..<4 * $0 + 4])) }
        self.nonlinearity = nonlinearity
        self.isResidual = isResidual
    }

    static func name(of part: BlockPart) -> String { "\(part.rawValue)_bottleneck" }

    /// The pairs.
    public var children: [(name: String, module: any Module)] { pairs.map { (Self.name(of: $0.part), $0.pair) } }

    /// Whether there is a bottleneck behind the part.
    public func adapts(_ part: BlockPart) -> Bool { pairs.contains { $0.part == part } }

    /// `residual + y + W₂ f(W₁ y + b₁) + b₂`.
    public func adapted(
        _ y: Tensor, after part: BlockPart, addedTo residual: Tensor?, _ context: ForwardContext
    ) -> Tensor {
        guard let pair = pairs.first(where: { $0.part == part })?.pair else { return residual.map { $0 + y } ?? y }
        let beside = isResidual ? residual.map { $0 + y } ?? y : residual
        return pair.up(pair.down(y, context).activated(by: nonlinearity), addedTo: beside, context)
    }
}

// MARK: - adapter_config.json

extension BottleneckConfiguration {
    /// Reads the method's keys; see ``AdapterConfiguration/init(_:)``.
    public init(_ reader: inout PEFTReader) throws {
        self.init()
        func word<Value: RawRepresentable & CaseIterable>(_ key: String, _ fallback: Value) throws -> Value
        where Value.RawValue == String {
            let words = Value.allCases.map(\.rawValue).joined(separator: ", ")
            return try reader.take(key, default: fallback, "one of \(words)") { $0.string.flatMap(Value.init) }
        }
        placement = try word("placement", placement)
        nonlinearity = try word("nonlinearity", nonlinearity)
        reductionFactor = try reader.integer("reduction_factor", default: reductionFactor)
        isResidual = try reader.flag("residual", default: true)
        layers = try reader.integers("layers_to_transform")
        startsAtZero = try reader.flag("init_bottleneck_weights", default: true)
    }

    /// The method's keys.
    public func peftKeys(for modules: AdaptableModules) throws -> [String: JSON] {
        [
            "placement": .string(placement.rawValue), "nonlinearity": .string(nonlinearity.rawValue),
            "reduction_factor": .integer(reductionFactor), "residual": .bool(isResidual),
            "layers_to_transform": layers.map { .array($0.map { .integer($0) }) } ?? .null,
            "init_bottleneck_weights": .bool(startsAtZero),
        ]
    }
}
