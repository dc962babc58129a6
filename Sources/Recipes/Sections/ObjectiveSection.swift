import Datasets

/// `objective:`, what training makes smaller. Each method has its own keys, TRL's where TRL has it; `type` says which it is.
public enum ObjectiveSettings: Equatable, Sendable {
    /// Supervised fine-tuning.
    case sft(SFTSettings)
}

extension ObjectiveSettings {
    static let types = ["sft"]

    init(reading section: RecipeNode.Entry) throws {
        var keys = try sectionEntries(section)
        switch try takeType(from: &keys, of: section, types: Self.types) {
        default: self = .sft(try SFTSettings(reading: keys, of: section.place))
        }
    }

    var written: [RecipeNode.Entry] {
        switch self {
        case .sft(let settings): typeEntry("sft") + settings.written
        }
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
