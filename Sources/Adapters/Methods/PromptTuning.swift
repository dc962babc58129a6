import Files
import Layers
import Tensors

/// Prompt tuning: learned embeddings stand before every sequence, and the model reads them as it reads tokens.
///
/// They take the positions from 0; a sequence's own tokens follow. In a batch they are computed once, forward and backward, and every
/// sequence reads their keys.
///
/// Source: Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", arXiv:2104.08691. Keys and defaults are those of
/// PEFT's `PromptTuningConfig`.
public struct PromptTuningConfiguration: AdapterConfiguration {
    /// `prompt`.
    public static let type = "prompt"
    /// `PROMPT_TUNING`.
    public static let peftType = "PROMPT_TUNING"
    /// It is no change of weights.
    public static let mergeRefusal: String? =
        "prompt tuning learns tokens that stand before the text and changes no weight: it cannot be merged"

    /// The numbers of virtual tokens that are taken.
    public static let counts = PromptBase.counts

    /// What the embeddings start as: `prompt_tuning_init`.
    public enum Initialization: String, CaseIterable, Sendable {
        /// Normal with deviation 1, as PyTorch's embeddings start.
        case random = "RANDOM"
        /// The embeddings of tokens drawn from the vocabulary.
        case sampledVocabulary = "SAMPLE_VOCAB"
        /// The embeddings of a text's tokens, repeated or cut to fit.
        case text = "TEXT"
    }

    /// How many virtual tokens there are.
    public var virtualTokens: Int
    /// What they start as.
    public var initialization = Initialization.random
    /// The text of that name.
    public var text: String?
    /// The text's tokens, those included that the tokenizer adds to every text.
    public var textTokens: [Int32] = []
    /// Where PEFT would find the tokenizer, were it to start anew from the text.
    public var tokenizerName: String?
    private var base: PromptBase?

    /// Virtual tokens that start at random.
    public init(virtualTokens: Int) { self.virtualTokens = virtualTokens }

    /// Checks the number, and that a text is there where it is asked for.
    public func validate() throws {
        try PromptBase.check(count: virtualTokens)
        if initialization == .text, text?.isEmpty ?? true {
            throw InputError("`prompt_tuning_init: TEXT` needs `prompt_tuning_init_text`")
        }
    }

    /// One table on the decoder stack.
    public func plan(for modules: AdaptableModules, strict: Bool) throws -> [AdapterPlan] {
        let (path, stack) = try modules.stack()
        if !strict { try base?.check(against: Self.base(of: stack)) }
        if strict, initialization == .text, textTokens.isEmpty {
            throw InputError("`prompt_tuning_init_text`: the text has no tokens")
        }
        let table = stack.embedding.weight
        let shape = [virtualTokens, table.value.columns]
        return [
            AdapterPlan(path: path, shapes: [("prompt_embeddings", shape)]) { seed in
                PromptAdapter(strict ? start(seed, vocabulary: table.value) : .zeros(shape))
            }
        ]
    }

    private func start(_ seed: UInt64, vocabulary: Tensor) -> Tensor {
        var generator = RandomGenerator(RandomKey(seed: seed, purpose: "prompt_embeddings"))
        let tokens: [Int32]
        switch initialization {
        case .random:
            let shape = [virtualTokens, vocabulary.columns]
            return Tensor((0..<shape[0] * shape[1]).map { _ in Float(generator.normal()) }, shape: shape)
        case .sampledVocabulary:
            tokens = (0..<virtualTokens).map { _ in
                Int32(min(Int(generator.uniform() * Double(vocabulary.rows)), vocabulary.rows - 1))
            }
        case .text: tokens = (0..<virtualTokens).map { textTokens[$0 % textTokens.count] }
        }
        return gatherRows(vocabulary.detached, tokens)
    }

    private static func base(of stack: any DecoderStack) -> PromptBase {
        PromptBase(
            layers: stack.layers.count, heads: stack.layers.first?.attention.shape.heads ?? 0,
            dimension: stack.embedding.weight.value.columns)
    }
}

/// The table of virtual tokens.
public final class PromptAdapter: VirtualTokenAdapter {
    /// `[count, hiddenSize]`.
    public let embeddings: Parameter

    init(_ embeddings: Tensor) { self.embeddings = Parameter(embeddings) }

    /// The table.
    public var ownParameters: [(name: String, parameter: Parameter)] { [("prompt_embeddings", embeddings)] }
    /// Its rows.
    public var count: Int { embeddings.value.rows }
    /// The rows in place of embeddings.
    public func tokens(_ context: ForwardContext) -> VirtualTokens { .embeddings(context.value(embeddings)) }
}

// MARK: - adapter_config.json

extension PromptTuningConfiguration {
    /// Reads PEFT's keys; see ``AdapterConfiguration/init(_:)``.
    public init(_ reader: inout PEFTReader) throws {
        self.init(virtualTokens: try reader.virtualTokens())
        initialization = try reader.take(
            "prompt_tuning_init", default: .random,
            "one of \(Initialization.allCases.map(\.rawValue).joined(separator: ", "))"
        ) { $0.string.flatMap(Initialization.init) }
        text = try reader.string("prompt_tuning_init_text")
        tokenizerName = try reader.string("tokenizer_name_or_path")
        base = try PromptBase(&reader)
        _ = reader.take("tokenizer_kwargs")
    }

    /// The keys as PEFT 0.21 writes them.
    public func peftKeys(for modules: AdaptableModules) throws -> [String: JSON] {
        try Self.base(of: modules.stack().stack).keys.merging([
            "num_virtual_tokens": .integer(virtualTokens), "prompt_tuning_init": .string(initialization.rawValue),
            "prompt_tuning_init_text": text.map { .string($0) } ?? .null, "tokenizer_kwargs": .null,
            "tokenizer_name_or_path": tokenizerName.map { .string($0) } ?? .null,
        ]) { $1 }
    }
}
