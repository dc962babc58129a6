import Datasets

/// `objective:`, what training makes smaller. Each method has its own keys, TRL's where TRL has it; `type` says which it is.
public enum ObjectiveSettings: Equatable, Sendable {
    /// Supervised fine-tuning.
    case sft(SFTSettings)
    /// Direct preference optimisation and its family.
    case dpo(DPOSettings)
    /// Answers that are desirable or not.
    case kto(KTOSettings)
    /// Contrastive preference optimisation, and SimPO.
    case cpo(CPOSettings)
    /// Odds-ratio preference optimisation.
    case orpo(ORPOSettings)
    /// Proximal policy optimisation.
    case ppo(PPOSettings)
    /// Group relative policy optimisation.
    case grpo(GRPOSettings)
    /// REINFORCE leave-one-out.
    case rloo(RLOOSettings)
    /// Direct preference optimisation on the model's own answers.
    case onlineDPO(OnlineDPOSettings)
    /// A reward model.
    case reward(RewardModelSettings)
}

extension ObjectiveSettings {
    static let types = ["sft", "dpo", "kto", "cpo", "orpo", "ppo", "grpo", "rloo", "online_dpo", "reward"]

    init(reading section: RecipeNode.Entry) throws {
        var keys = try sectionEntries(section)
        switch try takeType(from: &keys, of: section, types: Self.types) {
        case "dpo": self = .dpo(try DPOSettings(reading: keys, of: section.place))
        case "kto": self = .kto(try KTOSettings(reading: keys, of: section.place))
        case "cpo": self = .cpo(try CPOSettings(reading: keys, of: section.place))
        case "orpo": self = .orpo(try ORPOSettings(reading: keys, of: section.place))
        case "ppo": self = .ppo(try PPOSettings(reading: keys, of: section.place))
        case "grpo": self = .grpo(try GRPOSettings(reading: keys, of: section.place))
        case "rloo": self = .rloo(try RLOOSettings(reading: keys, of: section.place))
        case "online_dpo": self = .onlineDPO(try OnlineDPOSettings(reading: keys, of: section.place))
        case "reward": self = .reward(try RewardModelSettings(reading: keys, of: section.place))
        default: self = .sft(try SFTSettings(reading: keys, of: section.place))
        }
    }

    var written: [RecipeNode.Entry] {
        switch self {
        case .sft(let settings): typeEntry("sft") + settings.written
        case .dpo(let settings): typeEntry("dpo") + settings.written
        case .kto(let settings): typeEntry("kto") + settings.written
        case .cpo(let settings): typeEntry("cpo") + settings.written
        case .orpo(let settings): typeEntry("orpo") + settings.written
        case .ppo(let settings): typeEntry("ppo") + settings.written
        case .grpo(let settings): typeEntry("grpo") + settings.written
        case .rloo(let settings): typeEntry("rloo") + settings.written
        case .onlineDPO(let settings): typeEntry("online_dpo") + settings.written
        case .reward(let settings): typeEntry("reward") + settings.written
        }
    }

    /// What rows are read for.
    var purpose: RowPurpose {
        switch self {
        case .sft: .supervised
        case .dpo, .cpo, .orpo, .reward: .pairs
        case .kto: .labels
        case .ppo, .grpo, .rloo, .onlineDPO: .prompts
        }
    }

    /// The settings of policy optimisation, where it is that.
    var policy: (any PolicySettings)? {
        switch self {
        case .ppo(let settings): settings
        case .grpo(let settings): settings
        case .rloo(let settings): settings
        case .onlineDPO(let settings): settings
        case .sft, .dpo, .kto, .cpo, .orpo, .reward: nil
        }
    }

    /// What change is measured against, where a method does that.
    var reference: ReferenceSettings? {
        switch self {
        case .dpo(let settings): settings.reference
        case .kto(let settings): settings.reference
        case .sft, .cpo, .orpo, .reward: nil
        case .ppo, .grpo, .rloo, .onlineDPO:
            policy.flatMap { $0.method.usesReference ? ReferenceSettings(model: $0.reference) : nil }
        }
    }

    /// The KL of an answer from the reference that training aims at, in nats; nil where it aims at none.
    var targetKL: Double? { policy?.method.controller.target }
}

extension ObjectiveSettings {
    /// What is worth knowing before a run, as sentences.
    var remarks: [String] {
        switch self {
        case .sft, .cpo, .orpo, .reward, .ppo, .grpo, .rloo, .onlineDPO: return []
        case .kto(let settings):
            return settings.loss.type == .kto
                ? [Self.coupled("the loss kto", "estimates a divergence in each batch")] : []
        case .dpo(let settings):
            var remarks: [String] = []
            if let type = settings.lossType.first(where: \.couplesBatch) {
                remarks.append(Self.coupled("the loss \(type.rawValue)", "sorts each batch"))
            } else if settings.pairLoss.couplesBatch {
                remarks.append(Self.coupled("the loss sft with use_weighting", "takes each batch's mean weight"))
            }
            if settings.loss.labelSmoothing > 0, !settings.lossType.contains(where: \.takesLabelSmoothing) {
                remarks.append("none of the losses reads label_smoothing; robust is sigmoid with it")
            }
            return remarks
        }
    }

    private static func coupled(_ loss: String, _ what: String) -> String {
        "\(loss) \(what): batches of other sizes, and accumulation, give another step"
    }
}

extension TrainOn: RecipeChoice {}

/// `objective: { type: sft }`: the mean of −log p over the tokens that are learnt.
public struct SFTSettings: Equatable, Sendable {
    /// The tokens that are learnt; nil for assistant in chats, completion in prompts with completions, all in text.
    public var trainOn: TrainOn?

    /// The defaults.
    public init() {}
}

extension SFTSettings: RecipeSection {
    static let name = "objective"
    static let summary = "What training makes smaller."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "train_on", optional: \.trainOn,
                "The tokens that are learnt. Left out: assistant for chats, completion for prompts with completions, all for text."
            )
        ]
    }
}
