import Files
import Trainers

/// What judges the answers of rollouts: one of ``RewardChoice``, under a name and with a weight.
public struct RewardSettings: Equatable, Sendable {
    /// What judges.
    public var reward: RewardChoice
    /// What metrics call it; nil for its type.
    public var name: String?
    /// What its scores are multiplied by.
    public var weight = 1.0

    /// Under which metrics and samples have its scores.
    var metricName: String { name ?? reward.type }

    /// A reward of weight 1.
    public init(_ reward: RewardChoice) { self.reward = reward }
}

/// The ways to judge an answer.
public enum RewardChoice: Equatable, Sendable {
    /// A regular expression that has a match in it.
    case regex(RegexRewardSettings)
    /// Whether it is JSON.
    case json
    /// Whether it is the row's reference.
    case exactMatch
    /// Whether its length is in a window.
    case length(LengthRewardSettings)
    /// How little of it is said twice.
    case repetition(RepetitionRewardSettings)
    /// What a program of the user's says.
    case command(CommandRewardSettings)
    /// What a reward model says.
    case model(ModelRewardSettings)
}

extension RewardChoice {
    static let types = ["regex", "json", "exact_match", "length", "repetition", "command", "model"]

    var type: String {
        switch self {
        case .regex: "regex"
        case .json: "json"
        case .exactMatch: "exact_match"
        case .length: "length"
        case .repetition: "repetition"
        case .command: "command"
        case .model: "model"
        }
    }

    init(type: String, reading keys: [RecipeNode.Entry], of place: RecipePlace) throws {
        switch type {
        case "regex": self = .regex(try RegexRewardSettings(reading: keys, of: place))
        case "length": self = .length(try LengthRewardSettings(reading: keys, of: place))
        case "repetition": self = .repetition(try RepetitionRewardSettings(reading: keys, of: place))
        case "command": self = .command(try CommandRewardSettings(reading: keys, of: place))
        case "model": self = .model(try ModelRewardSettings(reading: keys, of: place))
        default:
            _ = try PlainRewardSettings(reading: keys, of: place)
            self = type == "json" ? .json : .exactMatch
        }
    }

    var written: [RecipeNode.Entry] {
        switch self {
        case .regex(let settings): settings.written
        case .length(let settings): settings.written
        case .repetition(let settings): settings.written
        case .command(let settings): settings.written
        case .model(let settings): settings.written
        case .json, .exactMatch: []
        }
    }

    /// Whether it compares with a row's `reference`.
    var needsReference: Bool { self == .exactMatch }
}

extension RewardSettings: RecipeValue {
    static var kind: String { "a mapping with `type`" }

    init(reading node: RecipeNode, as keyPath: String) throws {
        guard var entries = node.entries else { throw Self.wrongKind(node, keyPath) }
        func take(_ key: String) -> RecipeNode? {
            entries.firstIndex { $0.key == key }.map { entries.remove(at: $0).value }
        }
        let type = try takeType(
            from: &entries, of: .init(key: keyPath, place: node.place, value: node), types: RewardChoice.types)
        let name = try take("name").map { try String(reading: $0, as: keyPath + ".name") }
        let weight = try take("weight").map { try Double(reading: $0, as: keyPath + ".weight") }
        reward = try RewardChoice(type: type, reading: entries, of: node.place)
        self.name = name
        self.weight = weight ?? 1
    }

    var written: RecipeNode.Content {
        var entries = typeEntry(reward.type) + reward.written
        func add(_ key: String, _ value: RecipeNode.Content) {
            entries.append(.init(key: key, place: RecipePlace(), value: RecipeNode(value)))
        }
        if let name { add("name", .string(name)) }
        if weight != 1 { add("weight", weight.written) }
        return .mapping(entries)
    }
}

/// `rewards: { type: json }` and others without keys of their own.
private struct PlainRewardSettings: RecipeSection {
    static let name = "objective.rewards"
    static let summary = ""
    static var keys: [RecipeKey<Self>] { [] }
}

/// `rewards: { type: regex, pattern: … }`.
public struct RegexRewardSettings: Equatable, Sendable {
    /// The expression.
    public var pattern = ""

    /// No expression.
    public init() {}
}

extension RegexRewardSettings: RecipeSection {
    static let name = "objective.rewards"
    static let summary = "A regular expression."

    static var keys: [RecipeKey<Self>] {
        [RecipeKey("pattern", \.pattern, required: true, "The expression, in Python's syntax.")]
    }
}

extension LengthReward.Unit: RecipeChoice {}

/// `rewards: { type: length, min: 20, max: 40 }`.
public struct LengthRewardSettings: Equatable, Sendable {
    /// The shortest length.
    public var minimum = 0
    /// The longest.
    public var maximum: Int?
    /// What is counted.
    public var unit = LengthReward.Unit.words

    /// Any length.
    public init() {}
}

extension LengthRewardSettings: RecipeSection {
    static let name = "objective.rewards"
    static let summary = "A window of lengths."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("min", \.minimum, range: .atLeast(0), "The shortest."),
            RecipeKey("max", optional: \.maximum, range: .atLeast(0), "The longest; any if left out."),
            RecipeKey("unit", \.unit, "`words`, `characters` or `tokens`."),
        ]
    }
}

/// `rewards: { type: repetition, words: 3 }`.
public struct RepetitionRewardSettings: Equatable, Sendable {
    /// The words of a run.
    public var words = 3

    /// Runs of three words.
    public init() {}
}

extension RepetitionRewardSettings: RecipeSection {
    static let name = "objective.rewards"
    static let summary = "Runs of words that come again."

    static var keys: [RecipeKey<Self>] {
        [RecipeKey("words", \.words, range: .atLeast(1), "The words of a run.")]
    }
}

/// `rewards: { type: command, command: [./judge.py] }`.
public struct CommandRewardSettings: Equatable, Sendable {
    /// The program and its arguments.
    public var command: [String] = []
    /// Seconds that it may take for all answers of a rollout.
    public var timeout = 600.0

    /// No program.
    public init() {}
}

extension CommandRewardSettings: RecipeSection {
    static let name = "objective.rewards"
    static let summary = "A program of the user's."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("command", \.command, required: true, "The program and its arguments."),
            RecipeKey("timeout", \.timeout, range: .above(0), "Seconds that it may take for a rollout."),
        ]
    }
}

/// `rewards: { type: model, path: Adapters/reward-lora }`.
public struct ModelRewardSettings: Equatable, Sendable {
    /// A reward model's adapter, or its folder.
    public var path = ""
    /// The model that the adapter stands on; nil for the one that is trained.
    public var base: String?

    /// No model.
    public init() {}
}

extension ModelRewardSettings: RecipeSection {
    static let name = "objective.rewards"
    static let summary = "A reward model."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("path", \.path, required: true, "A reward model's adapter, or its folder."),
            RecipeKey("base", optional: \.base, "The model that the adapter stands on, where it is another one."),
        ]
    }
}
