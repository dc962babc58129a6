import Files
import Layers

/// What prompt and prefix tuning share in PEFT's files: the sizes of the model that learned tokens were made for.
struct PromptBase: Hashable, Sendable {
    /// `num_layers`.
    var layers: Int?
    /// `num_attention_heads`.
    var heads: Int?
    /// `token_dim`.
    var dimension: Int?

    /// Sizes of a model.
    init(layers: Int, heads: Int, dimension: Int) {
        (self.layers, self.heads, self.dimension) = (layers, heads, dimension)
    }

    /// The sizes that a file records, some of which may be missing.
    init(_ reader: inout PEFTReader) throws {
        layers = try reader.take("num_layers", default: nil, "a whole number") { $0.integer }
        heads = try reader.take("num_attention_heads", default: nil, "a whole number") { $0.integer }
        dimension = try reader.take("token_dim", default: nil, "a whole number") { $0.integer }
        try reader.refuse("num_transformer_submodules", unless: 1)
        try reader.refuse("modules_to_save")
    }

    /// The keys as PEFT writes them.
    var keys: [String: JSON] {
        func json(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
        return [
            "num_layers": json(layers), "num_attention_heads": json(heads), "token_dim": json(dimension),
            "num_transformer_submodules": 1, "modules_to_save": .null,
        ]
    }

    /// Fails where a file records other sizes than the model has.
    func check(against model: PromptBase) throws {
        let sizes = [
            ("num_layers", layers, model.layers), ("num_attention_heads", heads, model.heads),
            ("token_dim", dimension, model.dimension),
        ]
        let others = sizes.filter { $0.1 != nil && $0.1 != $0.2 }.map { "\($0.0) is \($0.1 ?? 0), not \($0.2 ?? 0)" }
        guard others.isEmpty else {
            throw InputError("the adapter was made for another model: \(others.joined(separator: ", "))")
        }
    }

    /// The numbers of virtual tokens taken: far more than any use.
    static let counts = 1...65536

    /// Fails where there are no virtual tokens, or more than any model reads.
    static func check(count: Int) throws {
        guard counts.contains(count) else {
            throw InputError(
                "`num_virtual_tokens`: a whole number from \(counts.lowerBound) to \(counts.upperBound) is needed, not \(count)"
            )
        }
    }
}

extension AdaptableModules {
    /// The decoder stack, which gets virtual tokens.
    func stack() throws -> (path: String, stack: any DecoderStack) {
        for (path, module) in adaptable { if let stack = module as? any DecoderStack { return (path, stack) } }
        throw InputError("the model is no stack of decoder layers: it cannot have virtual tokens")
    }
}

extension PEFTReader {
    /// Takes `num_virtual_tokens`, which has no default.
    mutating func virtualTokens() throws -> Int {
        let count = try integer("num_virtual_tokens", default: 0)
        guard count > 0 else { throw fault("num_virtual_tokens", "num_virtual_tokens is missing, or not above 0") }
        return count
    }
}
