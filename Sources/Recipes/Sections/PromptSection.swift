import Adapters
import Files

/// `adapter: { type: prompt }`: the keys and meanings of PEFT's `PromptTuningConfig`, and how the adapter starts.
public struct PromptSettings: Equatable, Sendable {
    /// How many virtual tokens stand before every sequence.
    public var virtualTokens = 20
    /// What they start as.
    public var initialization = PromptTuningConfiguration.Initialization.random
    /// The text whose tokens they start as.
    public var text: String?
    /// A PEFT adapter's folder to start from instead.
    public var initFrom: String?

    /// Twenty virtual tokens that start at random.
    public init() {}

    /// The configuration for a model.
    func configuration(for session: ModelSession, named name: String) throws -> PromptTuningConfiguration {
        var made = PromptTuningConfiguration(virtualTokens: virtualTokens)
        made.initialization = initialization
        guard initialization == .text, let text else { return made }
        made.text = text
        made.textTokens = try session.tokenizer.encode(text, addSpecialTokens: true)
        made.tokenizerName = name
        return made
    }
}

extension PromptTuningConfiguration.Initialization: RecipeChoice {}

extension PromptSettings: RecipeSection {
    static let name = LoRASettings.name
    static let summary = LoRASettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "num_virtual_tokens", \.virtualTokens, range: .within(PromptTuningConfiguration.counts),
                "Prompt and prefix tuning: how many learned tokens stand before every sequence; they are not counted in `max_length`."
            ),
            RecipeKey(
                "prompt_tuning_init", \.initialization,
                "Prompt tuning: embeddings start as normal numbers, as those of random tokens, or as those of a text."),
            RecipeKey(
                "prompt_tuning_init_text", optional: \.text,
                "Prompt tuning: that text, whose tokens are repeated or cut to fit."),
            RecipeKey("init_from", optional: \.initFrom, "A PEFT adapter's folder to start from."),
        ]
    }
}
