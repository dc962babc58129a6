import Files
import Foundation
import Models
import Tensors
import Tokenizers

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
    /// Modules that are not quantised where `weights` is int8 or nf4.
    public var skipModules = SkippedModules.standard
    /// Folders of adapters that stay on the model, frozen, in order: what is trained is trained on top of them.
    public var adapters: [String]?
    /// Whether adapters that were trained on other weights are taken.
    public var anyBase = false
    /// Tokens to add to the tokenizer.
    public var addTokens: [String]?
    /// The same as marks that are no text.
    public var addSpecialTokens: [String]?
    /// The folder of an adapter whose tokenizer has more tokens than the model's, and is taken instead.
    var tokenizerFolder: String?
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
                "How the frozen weights are kept in memory. bf16 takes half of f32, and is the default for an adapter under precision bf16; int8 and nf4 (QLoRA) a quarter and an eighth, `skip_modules` excepted; weights that are trained are always f32."
            ),
            RecipeKey(
                "double_quant", \.doubleQuant,
                "With nf4: the scales are kept in 8 bits too, 4.13 bits a weight instead of 4.5."),
            RecipeKey(
                "skip_modules", \.skipModules,
                "With int8 and nf4: modules that stay as they are, by their paths or parts of these. bitsandbytes' `llm_int8_skip_modules`."
            ),
            RecipeKey(
                "add_tokens", optional: \.addTokens,
                "Tokens to add to the tokenizer. Embedding and head get a row for each, at first the mean of all others; LoRA trains these rows beside its pairs."
            ),
            RecipeKey(
                "add_special_tokens", optional: \.addSpecialTokens,
                "The same for special tokens, such as `<|thought|>`: decoding leaves them out."),
            RecipeKey(
                "adapters", optional: \.adapters,
                "Folders of adapters that stay on the model, frozen and in this order, while another is trained on top of them."
            ),
            RecipeKey(
                "any_base", \.anyBase,
                "Whether adapters whose file says that they were trained on other weights are taken: those of the same model in another format or precision."
            ),
        ]
    }
}

extension ModelSettings {
    /// The tokens to be added, plain ones first.
    var newTokens: [NewToken] {
        (addTokens ?? []).map { NewToken($0, isSpecial: false) }
            + (addSpecialTokens ?? []).map { NewToken($0, isSpecial: true) }
    }
}

extension SkippedModules: RecipeValue {
    /// The word for no module at all.
    static let none = "none"
    static let kind = "`none`, a module name or a list of such"

    init(reading node: RecipeNode, as keyPath: String) throws {
        if case .string(Self.none) = node.content {
            self.init([])
        } else {
            self.init(try [String](reading: node, as: keyPath))
        }
    }

    var written: RecipeNode.Content { names.isEmpty ? .string(Self.none) : names.written }

    /// The names as a sentence has them.
    var inWords: String { names.isEmpty ? Self.none : names.joined(separator: ", ") }
}

extension ModelSettings {
    /// The settings that a command's flags ask for, checked as in a recipe.
    ///
    /// - Parameters:
    ///   - path: `--model`.
    ///   - precision: `--precision`.
    ///   - weights: `--weights`.
    ///   - doubleQuant: `--double-quant`.
    ///   - skipModules: `--skip-modules`, names with commas between them, or none.
    ///   - anyBase: `--any-base`.
    ///   - writesNF4: whether the command writes nf4, so that the two have a meaning without `--weights`.
    /// - Throws: ``InputError`` for a value that a recipe would not take.
    public init(
        path: String, precision: String?, weights: String?, doubleQuant: String? = nil, skipModules: String? = nil,
        anyBase: Bool = false, writesNF4: Bool = false
    ) throws {
        func read<Value: RecipeValue>(_ text: String?, _ flag: String, _ field: inout Value) throws {
            guard let text else { return }
            field = try Value(reading: RecipeNode(.string(text)), as: flag)
        }
        self.init()
        self.anyBase = anyBase
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
        if let skipModules {
            guard storage.isQuantized || writesNF4 else {
                throw InputError("`--skip-modules` needs `--weights int8` or `--weights nf4`")
            }
            let names = skipModules.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
            self.skipModules = SkippedModules(names == [SkippedModules.none] ? [] : names)
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
