import Files
import Tensors

extension Precision: RecipeChoice {}

/// How the frozen weights are kept in memory.
public enum WeightStorage: String, CaseIterable, RecipeChoice {
    /// 32-bit floats.
    case f32
    /// bfloat16, two bytes a weight, widened as they are used.
    case bf16
}

/// `model:`, the network that is trained.
public struct ModelSettings: Equatable, Sendable {
    /// A `.gguf` file, a Hugging Face folder, or `org/name` in the local Hugging Face cache.
    public var path = ""
    /// The type in which products are computed.
    public var precision = Precision.f32
    /// How the frozen weights are kept. Weights that are trained are always f32.
    public var weights = WeightStorage.f32
    /// Whether a command's flags named the storage; where they did not, an adapter's own is taken.
    var isStorageGiven = false

    /// The defaults, with no model named.
    public init() {}
}

extension ModelSettings: RecipeSection {
    static let name = "model"
    static let summary = "The network that is trained."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey(
                "path", \.path, required: true,
                "A `.gguf` file, a Hugging Face folder, or `org/name` in the local Hugging Face cache."),
            RecipeKey(
                "precision", \.precision,
                "The type in which products are computed. bf16 keeps activations in half the memory, and is several times as fast where the processor has units for it; sums, norms and losses stay f32."
            ),
            RecipeKey(
                "weights", \.weights,
                "How the frozen weights are kept in memory. bf16 takes half of f32, and is the default for an adapter under precision bf16; weights that are trained are always f32."
            ),
        ]
    }
}

extension ModelSettings {
    /// The settings that a command's flags `--model`, `--precision` and `--weights` ask for, checked as in a recipe.
    public init(path: String, precision: String?, weights: String?) throws {
        func read<Value: RecipeValue>(_ text: String?, _ flag: String, _ field: inout Value) throws {
            guard let text else { return }
            field = try Value(reading: RecipeNode(.string(text)), as: flag)
        }
        self.init()
        try read(path, "--model", &self.path)
        try read(precision, "--precision", &self.precision)
        try read(weights, "--weights", &self.weights)
        isStorageGiven = weights != nil
        if !isStorageGiven, self.precision == .bf16 { self.weights = .bf16 }
    }
}
