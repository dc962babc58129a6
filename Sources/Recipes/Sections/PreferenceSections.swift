import Trainers

/// The model that preferences and policy optimisation measure change against.
public enum ReferenceChoice: Equatable, Sendable {
    /// The adapter that training starts from where there is one, else the base model: TRL's rule.
    case auto
    /// The base model, without adapters.
    case base
    /// The model as it is when training starts.
    case start
    /// Another model, or an adapter on the base model.
    case path(String)
}

extension ReferenceChoice: RecipeValue {
    static let kind = "`auto`, `base`, `start` or a path"

    init(reading node: RecipeNode, as keyPath: String) throws {
        switch try String(reading: node, as: keyPath) {
        case "auto": self = .auto
        case "base": self = .base
        case "start": self = .start
        case let path: self = .path(path)
        }
    }

    var written: RecipeNode.Content {
        switch self {
        case .auto: .string("auto")
        case .base: .string("base")
        case .start: .string("start")
        case .path(let path): .string(path)
        }
    }
}

/// The reference model, and when it is asked.
public struct ReferenceSettings: Equatable, Sendable {
    /// Which model it is.
    public var model = ReferenceChoice.auto
    /// Whether it scores all rows before training, and is not needed after.
    public var isPrecomputed = false
}

extension PairLossType: RecipeChoice {}

extension Divergence: RecipeChoice {}

extension LabelLossType: RecipeChoice {}

extension ContrastiveLossType: RecipeChoice {}

/// The words of keys that several methods have.
private enum Words {
    static let beta = "How strongly the model is tied to the reference: higher stays closer."
    static let reference =
        "The model that change is measured against: the base model without adapters, the model as training starts, another model, or an adapter on the base. `auto` is `start` with adapter.init_from, else `base`."
    static let precompute =
        "Scores all rows with the reference before training and keeps the result on disk (dataset.cache), for other losses and values of beta too."
}

/// `objective: { type: dpo }`: preference pairs against a reference model; keys and defaults are those of TRL's `DPOConfig`.
public struct DPOSettings: Equatable, Sendable {
    /// The losses that are added up.
    public var lossType: [PairLossType] = [.sigmoid]
    /// The weight of each; nil for 1.
    public var lossWeights: [Double]?
    /// All numbers of the loss but its terms.
    public var loss = PairLoss()
    /// The reference model.
    public var reference = ReferenceSettings()

    /// The defaults.
    public init() {}

    /// The loss with its terms.
    public var pairLoss: PairLoss {
        var loss = loss
        let weights = lossWeights ?? [Double](repeating: 1, count: lossType.count)
        loss.terms = zip(lossType, weights).map { (type: $0, weight: $1) }
        return loss
    }
}

extension DPOSettings: RecipeSection {
    static let name = SFTSettings.name
    static let summary = SFTSettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("loss_type", \.lossType, "The loss of a pair; of several, the weighted sum."),
            RecipeKey("loss_weights", optional: \.lossWeights, "The weight of each loss_type; 1 each if left out."),
            RecipeKey("beta", \.loss.beta, range: .above(0), Words.beta),
            RecipeKey(
                "label_smoothing", \.loss.labelSmoothing, range: .within(0..<0.5),
                "The share of pairs taken to be the wrong way round. Read by robust, exo_pair (which needs it above 0), aot and aot_unpaired; sigmoid does not, as in TRL."
            ),
            RecipeKey(
                "f_divergence_type", \.loss.divergence,
                "The divergence from the reference, for sigmoid, sigmoid_norm, hinge, ipo, exo_pair, robust, discopop and sft."
            ),
            RecipeKey("f_alpha_divergence_coef", \.loss.alpha, "α of alpha_divergence."),
            RecipeKey(
                "ld_alpha", optional: \.loss.ldAlpha, range: .within(0...1),
                "The weight of what is beyond the shorter answer's length (LD-DPO); 1 if left out."),
            RecipeKey(
                "use_weighting", \.loss.usesWeighting,
                "Weights pairs by how probable the model finds their answers (WPO). Not with aot."),
            RecipeKey("discopop_tau", \.loss.discoPOPTau, range: .above(0), "DiscoPOP's temperature."),
            RecipeKey("reference", \.reference.model, Words.reference),
            RecipeKey("precompute_ref_log_probs", \.reference.isPrecomputed, Words.precompute),
        ]
    }
}

/// `objective: { type: kto }`: answers that are desirable or not; keys and defaults are those of TRL's `KTOConfig`.
public struct KTOSettings: Equatable, Sendable {
    /// The loss.
    public var loss = LabelLoss()
    /// The reference model.
    public var reference = ReferenceSettings()

    /// The defaults.
    public init() {}
}

extension KTOSettings: RecipeSection {
    static let name = SFTSettings.name
    static let summary = SFTSettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("loss_type", \.loss.type, "The loss of an answer."),
            RecipeKey("beta", \.loss.beta, range: .above(0), Words.beta),
            RecipeKey("desirable_weight", \.loss.desirableWeight, range: .above(0), "What a desirable answer counts."),
            RecipeKey(
                "undesirable_weight", \.loss.undesirableWeight, range: .above(0), "What an undesirable answer counts."),
            RecipeKey("reference", \.reference.model, Words.reference),
            RecipeKey("precompute_ref_log_probs", \.reference.isPrecomputed, Words.precompute),
        ]
    }
}

/// `objective: { type: cpo }`: preference pairs without a reference model, SimPO too; keys and defaults are those of TRL's `CPOConfig`.
public struct CPOSettings: Equatable, Sendable {
    /// The loss.
    public var loss = ContrastiveLoss()

    /// The defaults.
    public init() {}
}

extension CPOSettings: RecipeSection {
    static let name = SFTSettings.name
    static let summary = SFTSettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("loss_type", \.loss.type, "The loss of a pair; SimPO is `simpo` with cpo_alpha 0."),
            RecipeKey("beta", \.loss.beta, range: .above(0), "How sharply the answers are told apart."),
            RecipeKey(
                "label_smoothing", \.loss.labelSmoothing, range: .within(0..<0.5),
                "The share of pairs taken to be the wrong way round; read by sigmoid and simpo."),
            RecipeKey(
                "cpo_alpha", \.loss.likelihoodWeight, range: .atLeast(0),
                "The weight of −log p of the chosen answers."),
            RecipeKey("simpo_gamma", \.loss.gamma, range: .atLeast(0), "SimPO's margin."),
            RecipeKey(
                "alpha", \.loss.alpha, "AlphaPO: rewards are (1 − p^−alpha) / alpha; 0 for log p."),
        ]
    }
}

/// `objective: { type: orpo }`: supervised fine-tuning and preference in one loss; keys and defaults are those of TRL's `ORPOConfig`.
public struct ORPOSettings: Equatable, Sendable {
    /// The loss.
    public var loss = OddsRatioLoss()

    /// The defaults.
    public init() {}
}

extension ORPOSettings: RecipeSection {
    static let name = SFTSettings.name
    static let summary = SFTSettings.summary

    static var keys: [RecipeKey<Self>] {
        [RecipeKey("beta", \.loss.beta, range: .above(0), "The weight of the odds ratio beside −log p.")]
    }
}
