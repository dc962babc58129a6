import Files
import Layers
import Tensors

/// Low-rank adaptation: `y = x Wᵀ + scale · dropout(x) Aᵀ Bᵀ` with W frozen, `A [r, in]` and `B [out, r]`.
///
/// The scale is `lora_alpha / r`, or `lora_alpha / sqrt(r)` with rank stabilisation.
///
/// Sources: Hu et al., "LoRA", arXiv:2106.09685; Kalajdzievski, "A Rank Stabilization Scaling Factor", arXiv:2312.03732. Keys and
/// defaults are those of PEFT's `LoraConfig`.
public struct LoRAConfiguration: LinearAdapterConfiguration {
    /// `lora`.
    public static let type = "lora"
    /// `LORA`.
    public static let peftType = "LORA"
    /// The highest rank taken: far above any use, low enough that no size overflows.
    public static let ranks = 1...65536

    /// How A and B start: `init_lora_weights`.
    public enum Initialization: Hashable, Sendable {
        /// A uniform in ±1/√in, B zero, so that the adapter starts as nothing.
        case kaiming
        /// A normal with deviation 1/r, B zero.
        case gaussian
        /// A uniform in ±1/√in, B in ±1/√r: the adapter changes the model from the start. For tests.
        case random
    }

    /// The layers that are adapted.
    public var target = TargetModules()
    /// The rank.
    public var r = 8
    /// The scale's numerator.
    public var loraAlpha = 8.0
    /// The share of x that is dropped in training, in [0, 1).
    public var loraDropout = 0.0
    /// Whether the scale falls with the rank's square root.
    public var useRSLoRA = false
    /// Whether a learned magnitude scales each output: DoRA.
    public var useDoRA = false
    /// Ranks of some modules.
    public var rankPattern = ModuleTable<Int>()
    /// Alphas of some modules.
    public var alphaPattern = ModuleTable<Double>()
    /// How A and B start.
    public var initialization = Initialization.kaiming

    /// PEFT's defaults, on every linear layer but the head.
    public init() {}

    /// Checks ranks, alphas, dropout and what excludes each other.
    public func validate() throws {
        for (key, rank) in [("r", r)] + rankPattern.rows.map({ ("rank_pattern.\($0.key)", $0.value) }) {
            guard Self.ranks.contains(rank) else {
                throw InputError(
                    "`\(key)`: a rank is a whole number from \(Self.ranks.lowerBound) to \(Self.ranks.upperBound), "
                        + "not \(rank)")
            }
        }
        for (key, alpha) in [("lora_alpha", loraAlpha)]
            + alphaPattern.rows.map({ ("alpha_pattern.\($0.key)", $0.value) })
        {
            guard alpha.isFinite else { throw InputError("`\(key)`: \(alpha) is not a finite number") }
        }
        guard loraDropout >= 0 && loraDropout < 1 else {
            throw InputError("`lora_dropout`: a share of at least 0 and less than 1 is needed, not \(loraDropout)")
        }
        if target.layers == nil, !target.layersPattern.isEmpty {
            throw InputError("`layers_pattern` needs `layers_to_transform`")
        }
        if target.layers != nil, case .only(.expression) = target.include {
            throw InputError("`layers_to_transform` cannot stand beside a regular expression in `target_modules`")
        }
    }

    /// Rank and alpha of each layer.
    public func plan(for layers: [(path: String, layer: Linear)], strict: Bool) throws -> [AdapterPlan] {
        if useDoRA, let head = layers.first(where: { AdaptableModules.heads.contains($0.path) }) {
            throw InputError("`use_dora`: DoRA on the output head \(head.path) is not supported")
        }
        let paths = layers.map(\.path)
        let ranks = try rankPattern.values(for: paths, key: "rank_pattern", strict: strict)
        let alphas = try alphaPattern.values(for: paths, key: "alpha_pattern", strict: strict)
        return layers.map { path, layer in
            let (rank, alpha) = (ranks[path] ?? r, alphas[path] ?? loraAlpha)
            let scale = Float(useRSLoRA ? alpha / Double(rank).squareRoot() : alpha / Double(rank))
            let (inputs, outputs) = (layer.inputSize, layer.outputSize)
            var shapes: [(name: String, shape: [Int])] = [
                ("lora_A.weight", [rank, inputs]), ("lora_B.weight", [outputs, rank]),
            ]
            if useDoRA { shapes.append(("lora_magnitude_vector", [outputs])) }
            return AdapterPlan(path: path, shapes: shapes) { seed in
                let (a, b) = initialValues(path, rank: rank, inputs: inputs, outputs: outputs, seed: seed)
                let pair = LoRAAdapter(a: a, b: b, scale: scale, dropout: Float(loraDropout), path: path)
                return useDoRA ? DoRAAdapter(pair, base: layer.weight) : pair
            }
        }
    }

    /// Depends on the seed and the layer's own path only: what else is adapted makes no difference.
    private func initialValues(
        _ path: String, rank: Int, inputs: Int, outputs: Int, seed: UInt64
    ) -> (a: Tensor, b: Tensor) {
        func filled(_ shape: [Int], _ name: String, _ draw: (inout RandomGenerator) -> Double) -> Tensor {
            var generator = RandomGenerator(RandomKey(seed: seed, purpose: "\(path).\(name)"))
            return Tensor((0..<shape[0] * shape[1]).map { _ in Float(draw(&generator)) }, shape: shape)
        }
        // PyTorch's kaiming_uniform with a = √5 is uniform in ±1/√(inputs of the matrix).
        func uniform(_ shape: [Int], _ name: String) -> Tensor {
            let bound = 1 / Double(shape[1]).squareRoot()
            return filled(shape, name) { (2 * $0.uniform() - 1) * bound }
        }
        let (shapeA, shapeB) = ([rank, inputs], [outputs, rank])
        switch initialization {
        case .kaiming: return (uniform(shapeA, "lora_A"), .zeros(shapeB))
        case .gaussian: return (filled(shapeA, "lora_A") { $0.normal() / Double(rank) }, .zeros(shapeB))
        case .random: return (uniform(shapeA, "lora_A"), uniform(shapeB, "lora_B"))
        }
    }
}

/// The low-rank pair of one linear layer.
public final class LoRAAdapter: LinearAdapter {
    /// `[r, in]`.
    public let a: Parameter
    /// `[out, r]`.
    public let b: Parameter
    /// What `B A` is multiplied by.
    public let scale: Float
    private let dropout: Float
    private let path: String

    init(a: Tensor, b: Tensor, scale: Float, dropout: Float, path: String) {
        self.a = Parameter(a)
        self.b = Parameter(b)
        self.scale = scale
        self.dropout = dropout
        self.path = path
    }

    /// A and B.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("lora_A.weight", a), ("lora_B.weight", b)] }

    /// `scale · dropout(x) Aᵀ Bᵀ`.
    public func update(_ context: ForwardContext) -> LinearUpdate { .lowRank(term(context)) }

    func term(_ context: ForwardContext) -> LowRankTerm {
        LowRankTerm(
            a: context.value(a), b: context.value(b), scale: scale,
            dropout: context.dropoutMask(dropout, module: "\(path).lora_dropout"))
    }

    /// The term off any tape, without dropout.
    var term: LowRankTerm { LowRankTerm(a: a.value, b: b.value, scale: scale) }

    /// `W + scale · B A`, in f32 whatever W is stored as.
    public func merged(into weight: Tensor) -> Tensor {
        let result = weight.dtype == .f32 ? weight.copied() : weight.converted(to: .f32)
        result.addInPlace(matrixProduct(b.value, a.value), factor: scale)
        return result
    }
}

// MARK: - adapter_config.json

extension LoRAConfiguration {
    /// Reads PEFT's keys; see ``AdapterConfiguration/init(_:)``.
    public init(_ reader: inout PEFTReader) throws {
        self.init()
        r = try reader.integer("r", default: r)
        loraAlpha = try reader.number("lora_alpha", default: loraAlpha)
        loraDropout = try reader.number("lora_dropout", default: loraDropout)
        useRSLoRA = try reader.flag("use_rslora", default: false)
        useDoRA = try reader.flag("use_dora", default: false)
        rankPattern = try reader.table("rank_pattern", "whole numbers", \.integer)
        alphaPattern = try reader.table("alpha_pattern", "numbers", \.number)
        initialization = try Self.initialization(&reader)
        target = try Self.target(&reader)
        for key in Self.unsupported { try reader.refuse(key) }
        for key in ["ensure_weight_tying", "fan_in_fan_out", "lora_bias", "use_qalora"] {
            try reader.refuse(key, unless: false)
        }
        try reader.refuse("bias", unless: "none")
        // These act only with settings refused above, or say where the adapter comes from.
        for key in Self.withoutEffect { _ = reader.take(key) }
    }

    private static func target(_ reader: inout PEFTReader) throws -> TargetModules {
        guard let include = try reader.moduleNames("target_modules") else {
            throw reader.fault(
                "target_modules", "target_modules is missing",
                hint: "PEFT writes the modules it adapted; name them, for example [\"q_proj\", \"v_proj\"]")
        }
        var layers = try reader.integers("layers_to_transform")
        if layers == [] { layers = nil }
        return TargetModules(
            TargetModules.Selection(include), exclude: try reader.moduleNames("exclude_modules"), layers: layers,
            layersPattern: try reader.strings("layers_pattern").filter { !$0.isEmpty })
    }

    private static func initialization(_ reader: inout PEFTReader) throws -> Initialization {
        switch reader.take("init_lora_weights") {
        case nil, true: return .kaiming
        case false: return .random
        case .string(let word) where word.lowercased() == "gaussian": return .gaussian
        case .some(let value):
            throw reader.fault(
                "init_lora_weights", "init_lora_weights: \(value.text()) is not supported",
                hint: "Some of PEFT's initialisations change the base model too; true, false and \"gaussian\" do not")
        }
    }

    /// The keys as PEFT 0.21 writes them.
    public func peftKeys(for paths: [String]) throws -> [String: JSON] {
        var keys: [String: JSON] = [
            "r": .integer(r), "lora_alpha": Self.number(loraAlpha), "lora_dropout": .number(loraDropout),
            "use_rslora": .bool(useRSLoRA),
            "rank_pattern": Self.object(try rankPattern.sorted(for: paths, key: "rank_pattern")) { .integer($0) },
            "alpha_pattern": Self.object(try alphaPattern.sorted(for: paths, key: "alpha_pattern"), Self.number),
            "exclude_modules": target.exclude?.json ?? .null,
            "layers_to_transform": target.layers.map { .array($0.map { .integer($0) }) } ?? .null,
            "layers_pattern": target.layersPattern.isEmpty ? .null : .array(target.layersPattern.map { .string($0) }),
            "bias": "none", "ensure_weight_tying": false, "fan_in_fan_out": false, "lora_bias": false,
            "use_dora": .bool(useDoRA), "use_qalora": false, "loftq_config": [:], "megatron_core": "megatron.core",
            "qalora_group_size": 16, "corda_config": .null, "eva_config": .null, "lora_ga_config": .null,
        ]
        for key in Self.unsupported { keys[key] = .null }
        keys["init_lora_weights"] =
            switch initialization {
            case .kaiming: true
            case .random: false
            case .gaussian: "gaussian"
            }
        return keys
    }

    private static let unsupported = [
        "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "megatron_config",
        "modules_to_save", "monteclora_config", "target_parameters", "trainable_token_indices", "use_bdlora",
        "velora_config",
    ]

    private static let withoutEffect = [
        "corda_config", "eva_config", "loftq_config", "lora_ga_config", "megatron_core", "qalora_group_size",
        "runtime_config",
    ]

    /// As Python would write it: `8`, not `8.0`.
    private static func number(_ value: Double) -> JSON { Int(exactly: value).map { .integer($0) } ?? .number(value) }

    private static func object<Value>(_ table: ModuleTable<Value>, _ json: (Value) -> JSON) -> JSON {
        JSON(members: table.rows.map { ($0.key, json($0.value)) })
    }
}

extension TargetModules.Selection {
    /// A selection from names; the expression `all-linear` is PEFT's word for every linear layer.
    init(_ names: ModuleNames) {
        if case .expression(let word) = names, word.lowercased() == "all-linear" {
            self = .allLinear
        } else {
            self = .only(names)
        }
    }
}

extension ModuleNames {
    /// A list or a string.
    var json: JSON {
        switch self {
        case .list(let names): .array(names.map { .string($0) })
        case .expression(let pattern): .string(pattern)
        }
    }
}
