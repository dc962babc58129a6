import ArgumentParser
import Recipes

/// Flags of every command that loads a model.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("A .gguf file, a Hugging Face folder, or org/name in the local cache.", valueName: "model"))
    var model: String

    @Option(help: "The type in which products are computed: f32 or bf16.")
    var precision: String?

    @Option(help: "How weights are kept in memory: f32, bf16, int8 or nf4.")
    var weights: String?

    @Option(help: ArgumentHelp("Whether nf4 keeps its scales in 8 bits too.", valueName: "true|false"))
    var doubleQuant: String?

    @Option(
        help: ArgumentHelp(
            "Modules that int8 and nf4 leave as they are. [default: lm_head,embed_tokens]", valueName: "a,b|none"))
    var skipModules: String?

    @Flag(help: "Take adapters that were trained on other weights: the same model in another format or precision.")
    var anyBase = false

    /// The flags as a recipe's section.
    ///
    /// - Parameter writesNF4: whether the command writes nf4, so that `--double-quant` has a meaning without `--weights`.
    /// - Returns: the settings, checked.
    /// - Throws: `InputError` for a value that a recipe would not take.
    func settings(writesNF4: Bool = false) throws -> ModelSettings {
        try ModelSettings(
            path: model, precision: precision, weights: weights, doubleQuant: doubleQuant, skipModules: skipModules,
            anyBase: anyBase, writesNF4: writesNF4)
    }
}

/// The flag of every command that has a result.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Write the result to standard output as one JSON object; everything else goes to standard error.")
    var json = false
}

/// The recipe and the values that replace some of its own.
struct RecipeOptions: ParsableArguments {
    @Argument(help: "The recipe, a YAML file.")
    var recipe: String

    @Option(name: .customLong("set"), help: ArgumentHelp("Replace a value of the recipe.", valueName: "key.path=value"))
    var overrides: [String] = []

    /// The recipe, read and checked.
    func read() throws -> Recipe { try RecipeReader.read(recipe, overrides: overrides) }
}
