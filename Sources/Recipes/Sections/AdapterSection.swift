import Files

/// `adapter:`, what is trained on top of the frozen model. A recipe without it trains every weight.
///
/// Each method has its own keys, PEFT's; `type` says which method it is.
public enum AdapterSettings: Equatable, Sendable {
    /// Low-rank adaptation.
    case lora(LoRASettings)
}

extension AdapterSettings {
    static let types = ["lora"]

    init(reading section: RecipeNode.Entry) throws {
        var keys = try sectionEntries(section)
        switch try takeType(from: &keys, of: section, types: Self.types) {
        default: self = .lora(try LoRASettings(reading: keys, of: section.place))
        }
    }

    var written: [RecipeNode.Entry] {
        switch self {
        case .lora(let settings): typeEntry("lora") + settings.written
        }
    }
}

/// Which modules something applies to, in PEFT's two ways.
public enum ModuleSelection: Equatable, Sendable {
    /// Modules whose path is one of these or ends in a dot and one of these.
    case names([String])
    /// Modules whose whole path matches the regular expression.
    case pattern(String)
}

extension ModuleSelection: RecipeValue {
    static let kind = "a list of module names or a regular expression"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .string: self = .pattern(try String(reading: node, as: keyPath))
        case .list: self = .names(try [String](reading: node, as: keyPath))
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .names(let names): names.written
        case .pattern(let pattern): pattern.written
        }
    }
}

/// Which linear layers get an adapter.
public enum TargetSelection: Equatable, Sendable {
    /// Every linear layer but the output head.
    case allLinear
    /// Those that are selected.
    case only(ModuleSelection)
}

extension TargetSelection: RecipeValue {
    static let kind = "`all-linear`, a list of module names or a regular expression"

    init(reading node: RecipeNode, as keyPath: String) throws {
        if case .string(let word) = node.content, word.lowercased() == "all-linear" {
            self = .allLinear
            return
        }
        switch node.content {
        case .string, .list: self = .only(try ModuleSelection(reading: node, as: keyPath))
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .allLinear: .string("all-linear")
        case .only(let selection): selection.written
        }
    }
}

/// How a new LoRA starts; PEFT's `init_lora_weights`.
public enum LoRAInitialization: String, Sendable {
    /// A uniform as in a linear layer, B zero: the adapter starts as nothing.
    case kaiming = "true"
    /// A normal with deviation 1/r, B zero.
    case gaussian
    /// Both random: the adapter changes the model from the start. For tests.
    case random = "false"
}

extension LoRAInitialization: RecipeValue {
    static let kind = "true, false or `gaussian`"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .bool(let isDefault): self = isDefault ? .kaiming : .random
        case .string("gaussian"): self = .gaussian
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .kaiming: .bool(true)
        case .random: .bool(false)
        case .gaussian: .string("gaussian")
        }
    }
}

/// Which biases are trained beside a LoRA.
public enum LoRABias: String, CaseIterable, RecipeChoice {
    /// None of them.
    case none
}

/// `adapter: { type: lora }`: y = W x + scale · B A x, where scale = `lora_alpha` / `r`. Keys and meanings are PEFT's `LoraConfig`.
///
/// Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.
public struct LoRASettings: Equatable, Sendable {
    /// The rank: A is `[r, in]`, B is `[out, r]`.
    public var r = 8
    /// The numerator of the scale.
    public var loraAlpha = 8.0
    /// The share of an adapter's input that is dropped in training.
    public var loraDropout = 0.0
    /// The linear layers that get an adapter.
    public var targetModules = TargetSelection.allLinear
    /// Layers left out of those.
    public var excludeModules: ModuleSelection?
    /// Whether the scale is alpha / √r instead (arXiv:2312.03732).
    public var useRSLoRA = false
    /// Ranks for modules whose path ends in a pattern; the first match counts.
    public var rankPattern = RecipeTable<Int>()
    /// Alphas for modules whose path ends in a pattern; the first match counts.
    public var alphaPattern = RecipeTable<Double>()
    /// The decoder layers that get adapters, from 0; nil for all.
    public var layersToTransform: [Int]?
    /// The name of the list of layers in module paths, where it is not the usual one.
    public var layersPattern: [String]?
    /// Which biases are trained.
    public var bias = LoRABias.none
    /// How A and B start.
    public var initLoRAWeights = LoRAInitialization.kaiming
    /// A PEFT adapter's folder to start from instead.
    public var initFrom: String?

    /// PEFT's defaults, on every linear layer.
    public init() {}
}

extension LoRASettings: RecipeSection {
    static let name = "adapter"
    static let summary = "What is trained on top of the frozen model. Leave the section out to train every weight."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "r", \.r, range: .within(1...65536),
                "The rank: A is [r, in], B is [out, r]. A higher one learns more and takes more memory."),
            RecipeKey("lora_alpha", \.loraAlpha, range: .above(0), "The update is scaled by lora_alpha / r."),
            RecipeKey(
                "lora_dropout", \.loraDropout, range: .within(0..<1),
                "The share of an adapter's input that is dropped in training."),
            RecipeKey(
                "target_modules", \.targetModules,
                "The linear layers that get an adapter; `all-linear` is all but the head."),
            RecipeKey("exclude_modules", optional: \.excludeModules, "Layers left out of those."),
            RecipeKey("use_rslora", \.useRSLoRA, "Scale by lora_alpha / √r, which keeps high ranks stable."),
            RecipeKey(
                "rank_pattern", \.rankPattern, "Ranks for modules whose path ends in a name or matches a pattern."),
            RecipeKey(
                "alpha_pattern", \.alphaPattern, "Alphas for modules whose path ends in a name or matches a pattern."),
            RecipeKey(
                "layers_to_transform", optional: \.layersToTransform,
                "The decoder layers that get adapters, counted from 0; all if left out."),
            RecipeKey(
                "layers_pattern", optional: \.layersPattern,
                "The name of the list of layers in module paths, where it is not the usual one."),
            RecipeKey("bias", \.bias, "Which biases are trained."),
            RecipeKey(
                "init_lora_weights", \.initLoRAWeights,
                "How A and B start: true is A random and B zero, gaussian the same with a normal A, false both random."),
            RecipeKey(
                "init_from", optional: \.initFrom,
                "A PEFT adapter's folder to start from; its rank, alpha and modules must be the recipe's."),
        ]
    }
}
