import Files
import Layers
import Tensors

/// Low-rank adaptation: `y = x Wᵀ + scale · dropout(x) Aᵀ Bᵀ` with W frozen, `A [r, in]` and `B [out, r]`.
///
/// The scale is `lora_alpha / r`, or `lora_alpha / sqrt(r)` with rank stabilisation.
///
/// Sources: Hu et al., "LoRA", arXiv:2106.09685; Kalajdzievski, "A Rank Stabilization Scaling Factor", arXiv:2312.03732. Keys and
/// defaults are those of PEFT's `LoraConfig`.
public struct LoRAConfiguration: AdapterConfiguration {
    /// `lora`.
    public static let type = "lora"
    /// `LORA`.
    public static let peftType = "LORA"
    /// The highest rank taken: far above any use, low enough that no size overflows.
    public static let ranks = 1...65536

    /// How A and B start: `init_lora_weights`.
    public enum Initialization: Hashable, Sendable {
        /// A uniform in ±1/√in, B zero, so that the adapter changes nothing at first.
        case kaiming
        /// A normal with deviation 1/r, B zero.
        case gaussian
        /// A uniform in ±1/√in, B in ±1/√r: the adapter changes the model from the start. For tests.
        case random
        /// The largest singular values of the weight with their vectors, √σ to each side: PiSSA, Meng et al., arXiv:2404.02948. By
        /// so many rounds of random subspace iteration, or exactly where nil.
        case pissa(rounds: Int?)
        /// The first columns and rows of the weight's QR decomposition: OLoRA, Büyükakyüz, arXiv:2406.01775.
        case olora

        /// Whether A and B are made of the weight, so that what they start as has to be taken off.
        var isDecomposition: Bool {
            switch self {
            case .kaiming, .gaussian, .random: false
            case .pissa, .olora: true
            }
        }
    }

    /// Which biases are trained beside the pairs: `bias`.
    public enum Bias: String, CaseIterable, Sendable {
        /// None.
        case none
        /// Every bias of the model.
        case all
        /// Those of the adapted layers.
        case loraOnly = "lora_only"
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
    /// Which biases are trained.
    public var bias = Bias.none
    /// Modules that are trained in full: the ends of their paths.
    public var modulesToSave: [String] = []
    /// Tokens whose rows in the embedding, or in other tables, are trained.
    public var trainableTokens: TrainableTokens?
    /// Whether a head that shares the embedding's weight shares what is trained of it, too.
    public var ensuresWeightTying = false

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
        if initialization.isDecomposition {
            for (key, alpha) in [("lora_alpha", loraAlpha)] + alphaPattern.rows.map({ ($0.key, $0.value) })
            where alpha <= 0 {
                throw InputError("`\(key)`: PiSSA and OLoRA need a scale above 0, not \(alpha)")
            }
        }
        if useDoRA, ensuresWeightTying {
            throw InputError(
                "`ensure_weight_tying` is not supported with `use_dora`: table and head have a magnitude each")
        }
        if target.layers == nil, !target.layersPattern.isEmpty {
            throw InputError("`layers_pattern` needs `layers_to_transform`")
        }
        if target.layers != nil, case .only(.expression) = target.include {
            throw InputError("`layers_to_transform` cannot stand beside a regular expression in `target_modules`")
        }
    }

    /// Whether the adapter is pairs A and B and nothing else, which is all that other programs' formats can say.
    public var isPairsAlone: Bool {
        !useDoRA && !initialization.isDecomposition && bias == .none && modulesToSave.isEmpty && trainableTokens == nil
            && !ensuresWeightTying
    }

    /// What `B A` is multiplied by.
    func scale(rank: Int, alpha: Double) -> Float {
        Float(useRSLoRA ? alpha / Double(rank).squareRoot() : alpha / Double(rank))
    }
}

extension LoRAConfiguration {
    /// Trains the rows of some tokens too, in embedding and head, unless the tables are trained in full anyway.
    ///
    /// - Parameters:
    ///   - tokens: the tokens.
    ///   - isTied: whether the head shares the embedding's weight.
    public mutating func train(tokens: [Int], isTied: Bool) {
        let all = isTied ? ["embed_tokens"] : ["embed_tokens", "lm_head"]
        let tables = all.filter { table in !modulesToSave.contains { "model.\(table)".hasSuffix($0) } }
        var rows: [String: [Int]] = [:]
        switch trainableTokens {
        case nil: break
        case .embedding(let ids): rows["embed_tokens"] = ids
        case .tables(let named): rows = named
        }
        for table in tables {
            let known = rows[table] ?? []
            rows[table] = known + tokens.filter { !known.contains($0) }
        }
        guard !rows.isEmpty else { return }
        let embedding = rows["embed_tokens"] ?? []
        trainableTokens = rows.count == 1 && !embedding.isEmpty ? .embedding(embedding) : .tables(rows)
    }
}

/// Tokens whose rows are trained: PEFT's `trainable_token_indices`.
public enum TrainableTokens: Hashable, Sendable {
    /// In the embedding.
    case embedding([Int])
    /// In tables by name: `embed_tokens`, `lm_head`.
    case tables([String: [Int]])
}
