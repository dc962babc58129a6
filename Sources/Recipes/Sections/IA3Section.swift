import Adapters
import Files

/// `adapter: { type: ia3 }`: the keys and meanings of PEFT's `IA3Config`, and how the adapter starts.
public struct IA3Settings: Equatable, Sendable {
    /// The layers that are adapted; nil for PEFT's choice for the model's family.
    public var targetModules: TargetModules.Selection?
    /// Layers left out of those.
    public var excludeModules: ModuleNames?
    /// Those whose input is scaled; nil for `down_proj`.
    public var feedforwardModules: ModuleNames?
    /// Modules that are trained in full.
    public var modulesToSave: [String]?
    /// Whether the vectors start at one.
    public var initializesToOnes = true
    /// A PEFT adapter's folder to start from instead.
    public var initFrom: String?

    /// PEFT's defaults.
    public init() {}

    /// The configuration for a model of a family (`model_type`).
    func configuration(family: String) throws -> IA3Configuration {
        var made =
            try targetModules.map { IA3Configuration(target: TargetModules($0)) } ?? IA3Configuration(family: family)
        made.target.exclude = excludeModules
        made.feedforward = feedforwardModules ?? made.feedforward
        made.modulesToSave = modulesToSave ?? []
        made.initializesToOnes = initializesToOnes
        return made
    }
}

extension IA3Settings: RecipeSection {
    static let name = LoRASettings.name
    static let summary = LoRASettings.summary

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "target_modules", optional: \.targetModules,
                "The linear layers that get a vector; left out: PEFT's choice for the model's family."),
            RecipeKey("exclude_modules", optional: \.excludeModules, "Layers left out of those."),
            RecipeKey(
                "feedforward_modules", optional: \.feedforwardModules,
                "IA³: those of `target_modules` whose input is scaled, not their output; `[down_proj]` if left out."),
            RecipeKey(
                "modules_to_save", optional: \.modulesToSave,
                "Modules trained in full beside the vectors and saved with them, by the ends of their paths."),
            RecipeKey(
                "init_ia3_weights", \.initializesToOnes,
                "IA³: start at one, so that the adapter changes nothing at first; false starts at random."),
            RecipeKey("init_from", optional: \.initFrom, "A PEFT adapter's folder to start from."),
        ]
    }
}
