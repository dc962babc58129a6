import Adapters
import Files

/// `adapter: { type: prefix }`: the keys and meanings of PEFT's `PrefixTuningConfig`, and how the adapter starts.
public struct PrefixSettings: Equatable, Sendable {
    /// The method's settings.
    public var configuration = PrefixTuningConfiguration(virtualTokens: 20)
    /// A PEFT adapter's folder to start from instead.
    public var initFrom: String?

    /// Twenty virtual tokens that start at random.
    public init() {}

    /// `init_weights`.
    fileprivate var start: PrefixStart? {
        get { configuration.startsAtZero ? .zero : nil }
        set { configuration.startsAtZero = newValue == .zero }
    }
}

/// How keys and values may start besides at random.
enum PrefixStart: String, CaseIterable, RecipeChoice {
    case zero
}

extension PrefixSettings: RecipeSection {
    static let name = LoRASettings.name
    static let summary = LoRASettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "num_virtual_tokens", \.configuration.virtualTokens, range: .within(PromptTuningConfiguration.counts),
                "How many learned keys and values stand before every sequence in each layer."),
            RecipeKey(
                "prefix_projection", \.configuration.hasProjection,
                "Prefix tuning: train through a small network, which steadies training; its output is saved."),
            RecipeKey(
                "encoder_hidden_size", optional: \.configuration.hiddenSize,
                range: .within(PrefixTuningConfiguration.hiddenSizes),
                "Prefix tuning: the width of that network; left out: as wide as a layer's keys."),
            RecipeKey(
                "init_weights", optional: \.start,
                "Prefix tuning: keys and values that start at zero; left out: at random."),
            RecipeKey("init_from", optional: \.initFrom, "A PEFT adapter's folder to start from."),
        ]
    }
}
