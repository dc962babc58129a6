import Files

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
        bias = try reader.take("bias", default: .none, "none, all or lora_only") { $0.string.flatMap(Bias.init) }
        modulesToSave = try reader.strings("modules_to_save")
        trainableTokens = try reader.take(
            "trainable_token_indices", default: nil, "a list of token ids, or a mapping from module names to such",
            TrainableTokens.init)
        ensuresWeightTying = try reader.flag("ensure_weight_tying", default: false)
        for key in Self.unsupported { try reader.refuse(key) }
        for key in ["fan_in_fan_out", "lora_bias", "use_qalora"] { try reader.refuse(key, unless: false) }
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
        case .some(let value):
            let method = value.string.flatMap { Initialization($0.lowercased()) }
            if case .pissa(.some) = method {
                throw reader.fault(
                    "init_lora_weights",
                    "init_lora_weights: \(value.text()) takes off the base what a random decomposition gave, which no other program can repeat",
                    hint: "Save it with PEFT's path_initial_model_for_weight_conversion")
            }
            guard let method else {
                throw reader.fault(
                    "init_lora_weights", "init_lora_weights: \(value.text()) is not supported",
                    hint: "Some of PEFT's initialisations change the base model too")
            }
            return method
        }
    }

    /// The keys as PEFT 0.21 writes them.
    public func peftKeys(for modules: AdaptableModules) throws -> [String: JSON] {
        let paths = try targets(in: modules, strict: false).paths
        return try asSaved.peftKeys(for: paths, target.saved(for: modules))
    }

    /// A start that is taken off again makes a plain adapter of twice the rank and the same scale.
    private var asSaved: LoRAConfiguration {
        guard initialization.isDecomposition else { return self }
        var copy = self
        let factor = useRSLoRA ? 2.0.squareRoot() : 2
        copy.initialization = .kaiming
        copy.r *= 2
        copy.loraAlpha *= factor
        for index in copy.rankPattern.rows.indices { copy.rankPattern.rows[index].value *= 2 }
        for index in copy.alphaPattern.rows.indices { copy.alphaPattern.rows[index].value *= factor }
        return copy
    }

    /// The keys for adapted layers of these paths.
    func peftKeys(for paths: [String], _ targetModules: ModuleNames) throws -> [String: JSON] {
        var keys: [String: JSON] = [
            "r": .integer(r), "lora_alpha": Self.number(loraAlpha), "lora_dropout": .number(loraDropout),
            "use_rslora": .bool(useRSLoRA),
            "rank_pattern": Self.object(try rankPattern.sorted(for: paths, key: "rank_pattern")) { .integer($0) },
            "alpha_pattern": Self.object(try alphaPattern.sorted(for: paths, key: "alpha_pattern"), Self.number),
            "exclude_modules": target.exclude?.json ?? .null,
            "layers_to_transform": target.layers.map { .array($0.map { .integer($0) }) } ?? .null,
            "layers_pattern": target.layersPattern.isEmpty ? .null : .array(target.layersPattern.map { .string($0) }),
            "target_modules": targetModules.json, "bias": .string(bias.rawValue),
            "modules_to_save": modulesToSave.isEmpty ? .null : .array(modulesToSave.map { .string($0) }),
            "trainable_token_indices": trainableTokens?.json ?? .null,
            "ensure_weight_tying": .bool(ensuresWeightTying), "fan_in_fan_out": false, "lora_bias": false,
            "use_dora": .bool(useDoRA), "use_qalora": false, "loftq_config": [:], "megatron_core": "megatron.core",
            "qalora_group_size": 16, "corda_config": .null, "eva_config": .null, "lora_ga_config": .null,
        ]
        for key in Self.unsupported { keys[key] = .null }
        keys["init_lora_weights"] = initialization.json
        return keys
    }

    private static let unsupported = [
        "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "megatron_config",
        "monteclora_config", "target_parameters", "use_bdlora", "velora_config",
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

extension LoRAConfiguration.Initialization {
    /// PEFT's word for a start that has one: `gaussian`, `pissa`, `pissa_niter_16`, `olora`.
    public init?(_ word: String) {
        let rounds = word.split(separator: "_niter_", omittingEmptySubsequences: false)
        switch (word, rounds.count) {
        case ("gaussian", _): self = .gaussian
        case ("pissa", _): self = .pissa(rounds: nil)
        case ("olora", _): self = .olora
        case (_, 2) where rounds[0] == "pissa":
            guard let count = Int(rounds[1]), (0...1000).contains(count) else { return nil }
            self = .pissa(rounds: count)
        default: return nil
        }
    }

    /// The value as PEFT writes it.
    public var json: JSON {
        switch self {
        case .kaiming: true
        case .random: false
        case .gaussian: "gaussian"
        case .pissa(nil): "pissa"
        case .pissa(let rounds?): .string("pissa_niter_\(rounds)")
        case .olora: "olora"
        }
    }
}

extension TrainableTokens {
    /// A list of ids, or lists by name.
    init?(_ json: JSON) {
        func ids(_ json: JSON) -> [Int]? {
            guard let elements = json.array else { return nil }
            let ids = elements.compactMap(\.integer)
            return ids.count == elements.count ? ids : nil
        }
        if let ids = ids(json) {
            self = .embedding(ids)
            return
        }
        guard let members = json.object else { return nil }
        let tables = members.compactMap { name, value in ids(value).map { (name, $0) } }
        guard tables.count == members.count else { return nil }
        self = .tables(Dictionary(tables, uniquingKeysWith: { $1 }))
    }

    var json: JSON {
        switch self {
        case .embedding(let ids): .array(ids.map { .integer($0) })
        case .tables(let tables):
            JSON(members: tables.sorted { $0.key < $1.key }.map { ($0.key, .array($0.value.map { .integer($0) })) })
        }
    }
}
