import Files

/// The parts of a `tokenizer.json`.
struct TokenizerFile {
    var added: AddedTokens
    var normalizer: Normalizer?
    var preTokenizer: PreTokenizer
    var model: BytePairEncoding
    var postProcessor: PostProcessor
    var decoder: Decoder

    /// Reads the file's bytes.
    ///
    /// `truncation` and `padding` are passed over: they are settings of a call, not of the tokenizer.
    ///
    /// - Throws: ``InputError`` naming the key path of what is missing, malformed or not supported.
    init(parsing bytes: UnsafeRawBufferPointer) throws {
        let document = try JSONDocument(parsing: bytes)
        let root = document.view
        func component(_ key: String) -> KeyedValue? {
            guard let value = root[key]?.value, value != .null else { return nil }
            return KeyedValue(value: value, path: key)
        }
        guard let modelView = root["model"] else { throw InputError("has no “model”: this is no tokenizer.json") }
        model = try ModelReader(modelView).read()
        normalizer = try component("normalizer").map(Normalizer.init)
        preTokenizer = PreTokenizer(try component("pre_tokenizer").map(PreTokenizer.steps) ?? [])
        decoder = try component("decoder").map(Decoder.init) ?? .spaces
        let tokens = try component("added_tokens").map { [vocabulary = model.vocabulary] in
            try AddedToken.read($0, vocabulary)
        }
        added = AddedTokens(tokens ?? [], normalizer: normalizer)
        postProcessor = try component("post_processor").map { try PostProcessor($0) } ?? PostProcessor()
        try checkSpecialTokens()
    }

    /// The stages, ready for use.
    func makePipeline() -> Pipeline {
        Pipeline(
            added: added, normalizer: normalizer, preTokenizer: preTokenizer, model: model,
            postProcessor: postProcessor,
            decoder: decoder)
    }

    private func checkSpecialTokens() throws {
        for case .special(let ids) in postProcessor.pieces {
            for id in ids where added.token(id) == nil && model.vocabulary.bytes(of: Int(id)) == nil {
                throw InputError("adds the id \(id), which no token has", place: "post_processor")
            }
        }
    }
}

extension AddedTokens {
    /// Makes the matchers for a tokenizer with a normalizer.
    init(_ tokens: [AddedToken], normalizer: Normalizer?) {
        self.init(tokens) { content in
            var scratch = EncodingScratch()
            let text = AlignedText(Array(content.utf8), origin: 0, tracked: false)
            return normalizer?.apply(text, &scratch).bytes ?? text.bytes
        }
    }
}

extension AddedToken {
    /// An entry of `added_tokens`.
    var json: JSON {
        [
            "id": .integer(Int(id)), "content": .string(content), "single_word": .bool(isSingleWord),
            "lstrip": .bool(stripsLeft), "rstrip": .bool(stripsRight), "normalized": .bool(isNormalized),
            "special": .bool(isSpecial),
        ]
    }

    /// Reads `added_tokens`.
    ///
    /// A token that the model's vocabulary has must give that id; another one must give an id that is free.
    static func read(_ list: KeyedValue, _ vocabulary: Vocabulary) throws -> [AddedToken] {
        var contents: [Int32: String] = [:]
        return try list.elements().map { entry in
            let content = try entry.member("content").string()
            let id = Int32(try entry.member("id").integer(in: 0..<Vocabulary.idLimit))
            guard content.utf8.count <= AddedTokens.longestContent else {
                throw entry.fault("a token of more than \(AddedTokens.longestContent) bytes")
            }
            if let known = vocabulary.id(content), known != id {
                throw entry.fault("the token \(quoted(content)) has the id \(id) here and \(known) in the vocabulary")
            }
            if vocabulary.id(content) == nil, let other = vocabulary.bytes(of: Int(id)) {
                throw entry.fault("the tokens \(quoted(content)) and \(quoted(other)) share the id \(id)")
            }
            if let other = contents.updateValue(content, forKey: id), !other.utf8.elementsEqual(content.utf8) {
                throw entry.fault("the tokens \(quoted(content)) and \(quoted(other)) share the id \(id)")
            }
            let special = try entry.bool("special", default: false)
            return AddedToken(
                content: content, id: id, isSingleWord: try entry.bool("single_word", default: false),
                stripsLeft: try entry.bool("lstrip", default: false),
                stripsRight: try entry.bool("rstrip", default: false),
                isNormalized: try entry.bool("normalized", default: !special), isSpecial: special)
        }
    }
}
