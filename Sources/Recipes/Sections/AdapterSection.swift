import Adapters
import Files

/// `adapter:`, what is trained on top of the frozen model. A recipe without it trains every weight.
///
/// Each method has its own keys, PEFT's; `type` says which method it is.
public enum AdapterSettings: Equatable, Sendable {
    /// Low-rank adaptation.
    case lora(LoRASettings)
    /// IA³: a learned scale of some layers' inputs and outputs.
    case ia3(IA3Settings)
    /// Prompt tuning: learned embeddings before every sequence.
    case prompt(PromptSettings)
    /// Prefix tuning: learned keys and values before those of every sequence.
    case prefix(PrefixSettings)
    /// Bottleneck adapters: thin layers behind the parts of each block.
    case bottleneck(BottleneckSettings)

    /// A PEFT adapter's folder that training starts from.
    public var initFrom: String? {
        switch self {
        case .lora(let settings): settings.initFrom
        case .ia3(let settings): settings.initFrom
        case .prompt(let settings): settings.initFrom
        case .prefix(let settings): settings.initFrom
        case .bottleneck(let settings): settings.initFrom
        }
    }

    /// Whether the model reads something before the first token, from which that is predicted too.
    var predictsFirstToken: Bool { if case .prompt = self { true } else { false } }

    /// What is attached to a model.
    ///
    /// - Parameters:
    ///   - session: the model with its tokenizer.
    ///   - name: what the recipe calls it.
    /// - Returns: the method with all its settings.
    /// - Throws: `InputError` where the model's family has no usual modules for the method and none are named.
    func configuration(for session: ModelSession, named name: String) throws -> any AdapterConfiguration {
        switch self {
        case .lora(let settings): settings.configuration
        case .ia3(let settings): try settings.configuration(family: session.loaded.family.name)
        case .prompt(let settings): try settings.configuration(for: session, named: name)
        case .prefix(let settings): settings.configuration
        case .bottleneck(let settings): settings.configuration
        }
    }
}

extension AdapterSettings {
    static let types = ["lora", "ia3", "prompt", "prefix", "bottleneck"]

    init(reading section: RecipeNode.Entry) throws {
        var keys = try sectionEntries(section)
        switch try takeType(from: &keys, of: section, types: Self.types) {
        case "ia3": self = .ia3(try IA3Settings(reading: keys, of: section.place))
        case "prompt": self = .prompt(try PromptSettings(reading: keys, of: section.place))
        case "prefix": self = .prefix(try PrefixSettings(reading: keys, of: section.place))
        case "bottleneck": self = .bottleneck(try BottleneckSettings(reading: keys, of: section.place))
        default: self = .lora(try LoRASettings(reading: keys, of: section.place))
        }
    }

    var written: [RecipeNode.Entry] {
        switch self {
        case .lora(let settings): typeEntry("lora") + settings.written
        case .ia3(let settings): typeEntry("ia3") + settings.written
        case .prompt(let settings): typeEntry("prompt") + settings.written
        case .prefix(let settings): typeEntry("prefix") + settings.written
        case .bottleneck(let settings): typeEntry("bottleneck") + settings.written
        }
    }
}

extension ModuleNames: RecipeValue {
    static let kind = "a list of module names or a regular expression"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .string: self = .expression(try String(reading: node, as: keyPath))
        case .list: self = .list(try [String](reading: node, as: keyPath))
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .list(let names): names.written
        case .expression(let pattern): pattern.written
        }
    }
}

extension TargetModules.Selection: RecipeValue {
    static let kind = "`all-linear`, a list of module names or a regular expression"

    init(reading node: RecipeNode, as keyPath: String) throws {
        if case .string(let word) = node.content, word.lowercased() == "all-linear" {
            self = .allLinear
            return
        }
        switch node.content {
        case .string, .list: self = .only(try ModuleNames(reading: node, as: keyPath))
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

extension LoRAConfiguration.Initialization: RecipeValue {
    static let kind = "true, false, `gaussian`, `pissa`, `pissa_niter_N` or `olora`"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch node.content {
        case .bool(let isDefault): self = isDefault ? .kaiming : .random
        case .string(let word):
            guard let method = Self(word) else { throw Self.wrongKind(node, keyPath) }
            self = method
        default: throw Self.wrongKind(node, keyPath)
        }
    }

    var written: RecipeNode.Content { json.string.map { .string($0) } ?? .bool(self == .kaiming) }
}

extension LoRAConfiguration.Bias: RecipeChoice {}

extension TrainableTokens: RecipeValue {
    static let kind = "a list of token ids, or a mapping from `embed_tokens` and `lm_head` to such"

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard let entries = node.entries else {
            guard case .list = node.content else { throw Self.wrongKind(node, keyPath) }
            self = .embedding(try [Int](reading: node, as: keyPath))
            return
        }
        var tables: [String: [Int]] = [:]
        for entry in entries {
            tables[entry.key] = try [Int](reading: entry.value, as: "\(keyPath).\(entry.key)")
        }
        self = .tables(tables)
    }

    var written: RecipeNode.Content {
        switch self {
        case .embedding(let ids): ids.written
        case .tables(let tables):
            .mapping(
                tables.sorted { $0.key < $1.key }.map {
                    RecipeNode.Entry(key: $0.key, place: RecipePlace(), value: RecipeNode($0.value.written))
                })
        }
    }
}

extension ModuleTable: RecipeValue where Value: RecipeValue {
    static var kind: String { "a mapping from module names to \(Value.kind)" }

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard let entries = node.entries else { throw Self.wrongKind(node, keyPath) }
        self.init(try entries.map { Row(key: $0.key, value: try Value(reading: $0.value, as: "\(keyPath).\($0.key)")) })
    }

    var written: RecipeNode.Content {
        .mapping(rows.map { RecipeNode.Entry(key: $0.key, place: RecipePlace(), value: RecipeNode($0.value.written)) })
    }
}

/// `adapter: { type: lora }`: the method's own settings, whose keys and meanings are PEFT's `LoraConfig`, and how the adapter starts.
public struct LoRASettings: Equatable, Sendable {
    /// Rank, scale, dropout and the layers that are adapted.
    public var configuration = LoRAConfiguration()
    /// A PEFT adapter's folder to start from instead of random values.
    public var initFrom: String?

    /// PEFT's defaults, on every linear layer but the head.
    public init() {}

    /// Nil where none is written: an empty list says nothing.
    fileprivate var layersPattern: [String]? {
        get { configuration.target.layersPattern.isEmpty ? nil : configuration.target.layersPattern }
        set { configuration.target.layersPattern = newValue ?? [] }
    }

    /// Likewise.
    fileprivate var modulesToSave: [String]? {
        get { configuration.modulesToSave.isEmpty ? nil : configuration.modulesToSave }
        set { configuration.modulesToSave = newValue ?? [] }
    }
}

extension LoRASettings: RecipeSection {
    static let name = "adapter"
    static let summary = "What is trained on top of the frozen model. Leave the section out to train every weight."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "r", \.configuration.r, range: .within(LoRAConfiguration.ranks),
                "The rank: A is [r, in], B is [out, r]. A higher one learns more and takes more memory."),
            RecipeKey(
                "lora_alpha", \.configuration.loraAlpha, range: .above(0), "The update is scaled by lora_alpha / r."),
            RecipeKey(
                "lora_dropout", \.configuration.loraDropout, range: .within(0..<1),
                "The share of an adapter's input that is dropped in training."),
            RecipeKey(
                "target_modules", \.configuration.target.include,
                "The linear layers that get an adapter, and `embed_tokens`; `all-linear` is all linear layers but the head."
            ),
            RecipeKey(
                "exclude_modules", optional: \.configuration.target.exclude, "Layers left out of those."),
            RecipeKey(
                "use_rslora", \.configuration.useRSLoRA,
                "Scale by lora_alpha / √r, which keeps high ranks stable."),
            RecipeKey(
                "use_dora", \.configuration.useDoRA,
                "DoRA: a learned magnitude scales each output of the adapted weight."),
            RecipeKey(
                "rank_pattern", \.configuration.rankPattern,
                "Ranks for modules whose path ends in a name or matches a pattern; the first that fits counts."),
            RecipeKey(
                "alpha_pattern", \.configuration.alphaPattern,
                "Alphas for modules whose path ends in a name or matches a pattern; the first that fits counts."),
            RecipeKey(
                "layers_to_transform", optional: \.configuration.target.layers,
                "The decoder layers that get adapters, counted from 0; all if left out."),
            RecipeKey(
                "layers_pattern", optional: \.layersPattern,
                "The name of the list of layers in module paths, where it is not the usual one."),
            RecipeKey(
                "bias", \.configuration.bias, "Which biases are trained too: none, all, or those of the adapted layers."
            ),
            RecipeKey(
                "modules_to_save", optional: \.modulesToSave,
                "Modules trained in full beside the adapter and saved with it, by the ends of their paths: `lm_head`, `embed_tokens`, `norm`."
            ),
            RecipeKey(
                "trainable_token_indices", optional: \.configuration.trainableTokens,
                "Tokens whose rows in the embedding are trained; in a head that shares its weight, too."),
            RecipeKey(
                "ensure_weight_tying", \.configuration.ensuresWeightTying,
                "Whether a head that shares the embedding's weight shares what is trained of it, too."),
            RecipeKey(
                "init_lora_weights", \.configuration.initialization,
                "How A and B start: true is A random and B zero, gaussian the same with a normal A, false both random. pissa and olora start from a decomposition of the weight, pissa_niter_N from an approximate one in N rounds, and are saved as a plain adapter of twice the rank."
            ),
            RecipeKey(
                "init_from", optional: \.initFrom,
                "A PEFT adapter's folder to start from; its rank, alpha and modules must be the recipe's."),
        ]
    }
}
