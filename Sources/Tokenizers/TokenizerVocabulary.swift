import Files

/// What a GGUF file holds of a tokenizer: its `tokenizer.ggml.*` metadata.
///
/// It says less than a `tokenizer.json`: the steps are known only by name (``pre``), so that a tokenizer is made by looking up what
/// the name stands for.
public struct TokenizerVocabulary: Sendable {
    /// `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` is SentencePiece BPE.
    public var model: String
    /// `tokenizer.ggml.pre`: which pre-tokenizer, for `gpt2`.
    public var pre: String?
    /// The tokens by id.
    public var tokens: [String]
    /// A score for each token, the higher the earlier it is merged, for `llama`.
    public var scores: [Float]?
    /// A type for each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    public var tokenTypes: [Int32]?
    /// The merges in order, `"a b"`, for `gpt2`.
    public var merges: [String]?
    /// Ids of the tokens that have a role.
    public var bos: Int32?
    /// The id that ends an answer.
    public var eos: Int32?
    /// The id of what is not in the vocabulary.
    public var unknown: Int32?
    /// The id that fills up a batch.
    public var padding: Int32?
    /// Whether BOS is put before a text; the model's own habit where nil.
    public var addBOS: Bool?
    /// Whether EOS is put after a text; not, where nil.
    public var addEOS: Bool?
    /// Whether a space is put before a text, for `llama`; it is, where nil.
    public var addSpacePrefix: Bool?
    /// `tokenizer.chat_template`.
    public var chatTemplate: String?

    /// A vocabulary of some tokens; set the rest as the file has it.
    public init(model: String, tokens: [String]) {
        self.model = model
        self.tokens = tokens
    }
}

extension Tokenizer {
    /// The tokenizer of a GGUF file.
    ///
    /// It is made by way of the `tokenizer.json` that says the same, which ``files`` then holds: whoever loads that gets the same ids.
    ///
    /// - Throws: ``InputError`` naming the metadata key: an unknown model or pre-tokenizer, lists of different lengths, ids out of
    ///   range, merges of tokens that are not there.
    public init(_ vocabulary: TokenizerVocabulary) throws {
        let writer = try VocabularyWriter(vocabulary)
        let bytes = Array(writer.tokenizerFile().utf8)
        var files = ["tokenizer.json": bytes, "tokenizer_config.json": Array(writer.configuration().utf8)]
        files["chat_template.jinja"] = vocabulary.chatTemplate.map { Array($0.utf8) }
        let roles = writer.roles
        self.init(
            try bytes.withUnsafeBytes { try TokenizerFile(parsing: $0) },
            SpecialTokens(bos: roles.bos, eos: roles.eos, padding: roles.padding, unknown: roles.unknown), files: files)
        chatTemplate = vocabulary.chatTemplate
    }
}

extension TokenizerVocabulary {
    /// Adds the tokens that a tokenizer made of it got since.
    public mutating func add(tokensOf tokenizer: Tokenizer) {
        let lowest = scores?.min() ?? 0
        for id in tokenizer.addedTokens.sorted() {
            guard let content = tokenizer.token(id) else { continue }
            while tokens.count <= Int(id) {
                // Unused until it is named below.
                tokens.append("[PAD\(tokens.count)]")
                tokenTypes?.append(5)
                scores?.append(lowest)
            }
            guard tokens[Int(id)] != content else { continue }
            tokens[Int(id)] = content
            tokenTypes?[Int(id)] = tokenizer.isSpecial(id) ? 3 : 4
        }
    }
}
