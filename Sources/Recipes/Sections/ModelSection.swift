import Files
import Tensors

extension Precision: RecipeChoice {}

/// How the frozen weights are kept in memory.
public enum WeightStorage: String, CaseIterable, RecipeChoice {
    /// 32-bit floats.
    case f32
    /// bfloat16, two bytes a weight, widened as they are used.
    case bf16
    /// A byte a weight, with a scale for each output.
    case int8
    /// Four bits a weight, with a scale for each 64: QLoRA's.
    case nf4
}

/// `model:`, the network that is trained.
public struct ModelSettings: Equatable, Sendable {
    /// A `.gguf` file, a Hugging Face folder, or `org/name` in the local Hugging Face cache.
    public var path = ""
    /// The type in which products are computed.
    public var precision = Precision.f32
    /// How the frozen weights are kept. Weights that are trained are always f32.
    public var weights = WeightStorage.f32
    /// Whether the scales of nf4 are quantised themselves.
    public var doubleQuant = true
    /// Folders of adapters that stay on the model, frozen, in order: what is trained is trained on top of them.
    public var adapters: [String]?
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
                "How the frozen weights are kept in memory. bf16 takes half of f32, and is the default for an adapter under precision bf16; int8 and nf4 (QLoRA) a quarter and an eighth, embeddings and head excepted; weights that are trained are always f32."
            ),
            RecipeKey(
                "double_quant", \.doubleQuant,
                "With nf4: the scales are kept in 8 bits too, 4.13 bits a weight instead of 4.5."),
            RecipeKey(
                "adapters", optional: \.adapters,
                "Folders of adapters that stay on the model, frozen and in this order, while another is trained on top of them."
            ),
        ]
    }
}

extension ModelSettings {
    /// The settings that a command's flags ask for, checked as in a recipe.
    ///
    /// - Parameters:
    ///   - path: `--model`.
    ///   - precision: `--precision`.
    ///   - weights: `--weights`.
    ///   - doubleQuant: `--double-quant`.
    ///   - writesNF4: whether the command writes nf4, so that `--double-quant` has a meaning without `--weights`.
    /// - Throws: ``InputError`` for a value that a recipe would not take.
    public init(
        path: String, precision: String?, weights: String?, doubleQuant: String? = nil, writesNF4: Bool = false
    ) throws {
        func read<Value: RecipeValue>(_ text: String?, _ flag: String, _ field: inout Value) throws {
            guard let text else { return }
            field = try Value(reading: RecipeNode(.string(text)), as: flag)
        }
        self.init()
        try read(path, "--model", &self.path)
        try read(precision, "--precision", &self.precision)
        try read(weights, "--weights", &self.weights)
        if let doubleQuant {
            guard let value = Bool(doubleQuant) else {
                throw InputError("`--double-quant` must be true or false, not `\(doubleQuant)`")
            }
            guard self.weights == .nf4 || writesNF4 else { throw InputError("`--double-quant` needs `--weights nf4`") }
            self.doubleQuant = value
        }
        isStorageGiven = weights != nil
        if !isStorageGiven, self.precision == .bf16 { self.weights = .bf16 }
    }
}

extension ModelSettings {
    /// The type in which the matrices of linear layers are stored.
    var storage: DType {
        get {
            switch weights {
            case .f32: .f32
            case .bf16: .bf16
            case .int8: .int8
            case .nf4: doubleQuant ? .nf4DoubleQuant : .nf4
            }
        }
        set {
            switch newValue {
            case .f32, .f16: weights = .f32
            case .bf16: weights = .bf16
            case .int8: weights = .int8
            case .nf4, .nf4DoubleQuant:
                weights = .nf4
                doubleQuant = newValue == .nf4DoubleQuant
            }
        }
    }
}

extension DType {
    /// The storage as a recipe names it.
    var inWords: String {
        switch self {
        case .nf4: "nf4 without double quantisation"
        case .nf4DoubleQuant: "nf4"
        default: rawValue
        }
    }
}
