import Files
import Layers
import Tensors

/// IA³: each adapted layer gets one learned vector, `y = (x Wᵀ + bias) · l`, or `y = (x · l) Wᵀ + bias` where it is a feed-forward
/// layer, with W frozen and l starting at one.
///
/// Source: Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", arXiv:2205.05638. Keys
/// and defaults are those of PEFT's `IA3Config`.
public struct IA3Configuration: AdapterConfiguration {
    /// `ia3`.
    public static let type = "ia3"
    /// `IA3`.
    public static let peftType = "IA3"

    /// The layers that are adapted.
    public var target: TargetModules
    /// Those of them whose input is scaled, not their output. A name fits a path that ends in it; an expression fits a whole path.
    public var feedforward: ModuleNames
    /// Modules that are trained in full: the ends of their paths.
    public var modulesToSave: [String] = []
    /// Whether the vectors start at one, so that the adapter changes nothing at first; otherwise they are normal. For tests.
    public var initializesToOnes = true

    /// Makes a configuration.
    public init(target: TargetModules, feedforward: ModuleNames) {
        self.target = target
        self.feedforward = feedforward
    }

    /// PEFT's modules for a model family: keys (in Llama) or queries (in Qwen2), values, and the last layer of the MLP.
    ///
    /// - Parameter family: `model_type`.
    /// - Throws: `InputError` for a family that PEFT has no modules for.
    public init(family: String) throws {
        guard let names = Self.modules[family] else {
            throw InputError("`target_modules` is missing: IA³ has no usual modules for the model family \"\(family)\"")
        }
        self.init(target: TargetModules(.only(.list(names))))
    }

    /// The given modules, of which `down_proj` is feed-forward, as in every family here.
    public init(target: TargetModules) {
        var feedforward = ModuleNames.expression(".*down_proj")
        if case .only(.list(let names)) = target.include {
            feedforward = .list(names.filter { $0.hasSuffix("down_proj") })
        }
        self.init(target: target, feedforward: feedforward)
    }

    private static let modules = [
        "llama": ["k_proj", "v_proj", "down_proj"], "qwen2": ["q_proj", "v_proj", "down_proj"],
    ]

    /// Checks that feed-forward modules are adapted at all.
    public func validate() throws {
        guard case .list(let names) = feedforward, case .only(.list(let targets)) = target.include else { return }
        if let other = names.first(where: { !targets.contains($0) }) {
            throw InputError(
                "`feedforward_modules` names \(other), which `target_modules` does not",
                hint: "Those are \(targets.joined(separator: ", "))")
        }
    }

    /// A vector for each layer, and the modules trained in full.
    public func plan(for modules: AdaptableModules, strict: Bool) throws -> [AdapterPlan] {
        let whole = try modules.trainedInFull(modulesToSave, strict: strict)
        return try plan(for: layers(modules, strict: strict), strict: strict) + whole.map(AdapterPlan.init(inFull:))
    }

    /// The layers that get a vector: those named and not trained in full.
    private func layers(_ modules: AdaptableModules, strict: Bool) throws -> [NamedLinear] {
        let whole = Set(try modules.trainedInFull(modulesToSave, strict: strict).map(\.path))
        return try target.matching(modules, strict: strict).filter { !whole.contains($0.path) }
    }

    private func plan(for layers: [NamedLinear], strict: Bool) throws -> [AdapterPlan] {
        let scalesInput = try feedforwardPaths(layers.map(\.path), strict: strict)
        return layers.map { path, layer in
            let isFeedforward = scalesInput.contains(path)
            let shape = isFeedforward ? [1, layer.inputSize] : [layer.outputSize, 1]
            let base = AdaptableModules.heads.contains(path) ? layer.weight : nil
            return AdapterPlan(path: path, shapes: [("ia3_l", shape)], base: base) { seed in
                var generator = RandomGenerator(RandomKey(seed: seed, purpose: "\(path).ia3_l"))
                let values = (0..<shape[0] * shape[1]).map { _ in
                    initializesToOnes ? 1 : Float(generator.normal())
                }
                return IA3Adapter(Tensor(values, shape: shape), isFeedforward: isFeedforward)
            }
        }
    }

    private func feedforwardPaths(_ paths: [String], strict: Bool) throws -> Set<String> {
        switch feedforward {
        case .expression(let pattern):
            let pattern = try RegularExpression(pattern, key: "feedforward_modules")
            return Set(try paths.filter(pattern.matchesAll))
        case .list(let names):
            if strict, let idle = names.first(where: { name in !paths.contains { $0.hasSuffix(name) } }) {
                throw InputError("`feedforward_modules`: \"\(idle)\" fits none of the adapted modules")
            }
            // PEFT's rule, which asks for no dot before the name.
            return Set(paths.filter { path in names.contains { path.hasSuffix($0) } })
        }
    }
}

/// The vector of one linear layer.
public final class IA3Adapter: LinearAdapter, KeepsBaseWeight {
    /// l: `[1, in]` of a feed-forward layer, `[out, 1]` of another.
    public let scale: Parameter
    /// Whether the input is scaled, not the output.
    public let isFeedforward: Bool
    /// The weight that the adapter's file holds instead of the base's.
    public var ownWeight: Parameter?

    init(_ scale: Tensor, isFeedforward: Bool) {
        self.scale = Parameter(scale)
        self.isFeedforward = isFeedforward
    }

    /// l.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("ia3_l", scale)] }

    /// l, and the weight that the file holds.
    public var savedTensors: [(name: String, value: Tensor)] { [("ia3_l", scale.value)] + savedBase }

    /// Input or output times l.
    public func updates(_ context: ForwardContext) -> [LinearUpdate] {
        [isFeedforward ? .scaleInput(context.value(scale)) : .scaleOutput(context.value(scale))]
    }

    /// Columns, or rows, of W times l, in f32 whatever W is stored as.
    public func merged(into weight: Tensor) -> Tensor {
        let weight = weight.converted(to: .f32)
        guard !isFeedforward else { return weight.scaledColumns(by: scale.value) }
        return weight.scaledRows(by: scale.value)
    }

    /// The bias times l where the output is scaled.
    public func merged(intoBias bias: Tensor) -> Tensor {
        isFeedforward ? bias : bias.converted(to: .f32).scaledColumns(by: scale.value)
    }
}

// MARK: - adapter_config.json

extension IA3Configuration {
    /// Reads PEFT's keys; see ``AdapterConfiguration/init(_:)``.
    public init(_ reader: inout PEFTReader) throws {
        guard let include = try reader.moduleNames("target_modules") else {
            throw reader.fault(
                "target_modules", "target_modules is missing",
                hint:
                    "PEFT writes the modules it adapted; name them, for example [\"k_proj\", \"v_proj\", \"down_proj\"]"
            )
        }
        guard let feedforward = try reader.moduleNames("feedforward_modules") else {
            throw reader.fault(
                "feedforward_modules", "feedforward_modules is missing",
                hint: "PEFT writes the modules whose input is scaled; [] for none")
        }
        self.init(
            target: TargetModules(
                TargetModules.Selection(include), exclude: try reader.moduleNames("exclude_modules")),
            feedforward: feedforward)
        initializesToOnes = try reader.flag("init_ia3_weights", default: true)
        modulesToSave = try reader.strings("modules_to_save")
        try reader.refuse("fan_in_fan_out", unless: false)
    }

    /// The keys as PEFT 0.21 writes them.
    public func peftKeys(for modules: AdaptableModules) throws -> [String: JSON] {
        [
            "target_modules": target.saved(for: modules).json, "feedforward_modules": savedFeedforward.json,
            "exclude_modules": target.exclude?.json ?? .null,
            "fan_in_fan_out": false, "init_ia3_weights": .bool(initializesToOnes),
            "modules_to_save": modulesToSave.isEmpty ? .null : .array(modulesToSave.map { .string($0) }),
        ]
    }

    /// PEFT wants every name of a list to stand in `target_modules` too, where `all-linear` becomes names of its own.
    private var savedFeedforward: ModuleNames {
        guard case .list(let names) = feedforward, !names.isEmpty, target.include == .allLinear else {
            return feedforward
        }
        return .expression(".*(" + names.map { $0.replacing(".", with: #"\."#) }.joined(separator: "|") + ")")
    }
}
