import Files

/// Writes the `tokenizer.json` and `tokenizer_config.json` that say what a GGUF vocabulary says.
struct VocabularyWriter {
    private let vocabulary: TokenizerVocabulary
    private let preTokenizer: VocabularyPreTokenizer?
    private let merges: [(String, String)]
    /// The tokens that have a role, defaults filled in.
    let roles: SpecialTokens
    private let addsBOS: Bool

    private enum TokenType {
        static let (normal, unknown, control, userDefined, unused): (Int32, Int32, Int32, Int32, Int32) = (
            1, 2, 3, 4, 5
        )
    }

    /// Checks the vocabulary.
    init(_ vocabulary: TokenizerVocabulary) throws {
        self.vocabulary = vocabulary
        try Self.checkLists(vocabulary)
        switch vocabulary.model {
        case "gpt2":
            let known = VocabularyPreTokenizer.known
            guard let preTokenizer = known[vocabulary.pre ?? "default"] else {
                throw InputError(
                    "the pre-tokenizer \(quoted(vocabulary.pre ?? "")) is not known", place: "tokenizer.ggml.pre",
                    hint: "known are \(known.keys.sorted().joined(separator: ", "))")
            }
            self.preTokenizer = preTokenizer
            addsBOS = vocabulary.addBOS ?? preTokenizer.addsBOS
            roles = SpecialTokens(
                bos: vocabulary.bos, eos: vocabulary.eos, padding: vocabulary.padding, unknown: vocabulary.unknown)
            merges = try Self.writtenMerges(vocabulary)
        case "llama":
            preTokenizer = nil
            addsBOS = vocabulary.addBOS ?? true
            roles = SpecialTokens(
                bos: vocabulary.bos ?? 1, eos: vocabulary.eos ?? 2, padding: vocabulary.padding,
                unknown: vocabulary.unknown ?? 0)
            merges = try Self.scoredMerges(vocabulary)
        default:
            throw InputError(
                "the tokenizer model \(quoted(vocabulary.model)) is not supported", place: "tokenizer.ggml.model",
                hint: "supported are gpt2, llama")
        }
        try checkRoles()
    }

    private static func checkLists(_ vocabulary: TokenizerVocabulary) throws {
        let count = vocabulary.tokens.count
        guard count > 0 && count < Vocabulary.idLimit else {
            throw InputError("holds \(count) tokens", place: "tokenizer.ggml.tokens")
        }
        if let types = vocabulary.tokenTypes, types.count != count {
            throw InputError("holds \(types.count) types for \(count) tokens", place: "tokenizer.ggml.token_type")
        }
        var all = Vocabulary(capacity: count)
        for (id, token) in vocabulary.tokens.enumerated() {
            guard token.utf8.count <= AddedTokens.longestContent else {
                throw InputError(
                    "is longer than \(AddedTokens.longestContent) bytes", place: "tokenizer.ggml.tokens[\(id)]")
            }
            var token = token
            do { try token.withUTF8 { try all.add($0, id: id) } } catch let error as InputError {
                throw InputError(error.message, place: "tokenizer.ggml.tokens[\(id)]")
            }
        }
    }

    private func checkRoles() throws {
        for (name, id) in [
            ("bos", roles.bos), ("eos", roles.eos), ("unknown", roles.unknown), ("padding", roles.padding),
        ] {
            guard let id, !vocabulary.tokens.indices.contains(Int(id)) else { continue }
            throw InputError("the id \(id) is no token's", place: "tokenizer.ggml.\(name)_token_id")
        }
        if addsBOS && roles.bos == nil {
            throw InputError("a BOS token is to be added, but none is named", place: "tokenizer.ggml.bos_token_id")
        }
        if vocabulary.addEOS == true && roles.eos == nil {
            throw InputError("an EOS token is to be added, but none is named", place: "tokenizer.ggml.eos_token_id")
        }
    }

    // MARK: Merges

    private static func writtenMerges(_ vocabulary: TokenizerVocabulary) throws -> [(String, String)] {
        guard let lines = vocabulary.merges else { throw InputError("is missing", place: "tokenizer.ggml.merges") }
        let tokens = Set(vocabulary.tokens.map { Array($0.utf8) })
        return try lines.enumerated().map { index, line in
            let parts = line.utf8.split(separator: 0x20, omittingEmptySubsequences: false).map { String(Substring($0)) }
            let joined = parts.joined()
            guard parts.count == 2, (parts + [joined]).allSatisfy({ tokens.contains(Array($0.utf8)) }) else {
                throw InputError(
                    "\(quoted(line)) is no pair of tokens that make a token", place: "tokenizer.ggml.merges[\(index)]")
            }
            return (parts[0], parts[1])
        }
    }

    /// The merges of a SentencePiece model, which merges whatever two pieces make the piece of the highest score.
    ///
    /// Every way to make a piece of two pieces is a merge; merges are ordered by score, then by the lengths of left and right,
    /// longest first: the order in which transformers converts such models.
    private static func scoredMerges(_ vocabulary: TokenizerVocabulary) throws -> [(String, String)] {
        guard let scores = vocabulary.scores, scores.count == vocabulary.tokens.count else {
            throw InputError(
                "holds \(vocabulary.scores?.count ?? 0) scores for \(vocabulary.tokens.count) tokens",
                place: "tokenizer.ggml.scores")
        }
        guard scores.allSatisfy(\.isFinite) else {
            throw InputError("holds a score that is no number", place: "tokenizer.ggml.scores")
        }
        var ids = Vocabulary(capacity: scores.count)
        for (id, token) in vocabulary.tokens.enumerated() {
            try Array(token.utf8).withUnsafeBufferPointer { try ids.add($0, id: id) }
        }
        struct Merge {
            var score: Float
            var lengths: (Int, Int)
            var ids: (Int32, Int32)
            var order = 0
        }
        var found: [Merge] = []
        for (id, token) in vocabulary.tokens.enumerated() {
            let type = vocabulary.tokenTypes?[id] ?? TokenType.normal
            guard [TokenType.normal, TokenType.userDefined, TokenType.unused].contains(type) else { continue }
            let bytes = Array(token.utf8)
            let count = token.unicodeScalars.count
            var local: [Merge] = []
            var place = 0
            for length in 1..<max(count, 1) {
                place += characterLength(bytes[place])
                guard let left = ids.id(Array(bytes[..<place])), let right = ids.id(Array(bytes[place...])) else {
                    continue
                }
                local.append(Merge(score: scores[id], lengths: (length, count - length), ids: (left, right)))
            }
            found += local.sorted { $0.ids < $1.ids }
        }
        for index in found.indices { found[index].order = -index }
        found.sort {
            ($0.score, $0.lengths.0, $0.lengths.1, $0.order) > ($1.score, $1.lengths.0, $1.lengths.1, $1.order)
        }
        return found.map { (vocabulary.tokens[Int($0.ids.0)], vocabulary.tokens[Int($0.ids.1)]) }
    }

    // MARK: The files

    /// The `tokenizer.json`.
    func tokenizerFile() -> String {
        var out = "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":"
        out += addedTokens.text()
        out += ",\"normalizer\":\(normalizer.text()),\"pre_tokenizer\":\((preTokenizer?.json ?? .null).text())"
        out += ",\"post_processor\":\(postProcessor.text()),\"decoder\":\(decoder.text()),\"model\":"
        let unknown: JSON = preTokenizer == nil ? token(roles.unknown) : .null
        let settings: JSON = [
            "type": "BPE", "dropout": .null, "unk_token": unknown, "continuing_subword_prefix": .null,
            "end_of_word_suffix": .null, "fuse_unk": .bool(preTokenizer == nil),
            "byte_fallback": .bool(preTokenizer == nil), "ignore_merges": .bool(preTokenizer?.ignoresMerges ?? false),
        ]
        out += settings.text().dropLast()
        out += ",\"vocab\":{"
        for (id, token) in vocabulary.tokens.enumerated() {
            out += "\(id == 0 ? "" : ",")\(JSON.string(token).text()):\(id)"
        }
        out += "},\"merges\":["
        for (index, merge) in merges.enumerated() {
            out += "\(index == 0 ? "" : ",")[\(JSON.string(merge.0).text()),\(JSON.string(merge.1).text())]"
        }
        return out + "]}}"
    }

    /// The `tokenizer_config.json`.
    func configuration() -> String {
        let configuration: JSON = [
            "bos_token": token(roles.bos), "clean_up_tokenization_spaces": false, "eos_token": token(roles.eos),
            "pad_token": token(roles.padding), "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": token(roles.unknown),
        ]
        return configuration.text(.indented(2)) + "\n"
    }

    private func token(_ id: Int32?) -> JSON { id.map { .string(vocabulary.tokens[Int($0)]) } ?? .null }

    private var addedTokens: JSON {
        let types = vocabulary.tokenTypes ?? []
        return .array(
            types.enumerated().compactMap { id, type in
                let isSpecial = type == TokenType.control || type == TokenType.unknown
                guard isSpecial || type == TokenType.userDefined, !vocabulary.tokens[id].isEmpty else { return nil }
                return [
                    "id": .integer(id), "content": .string(vocabulary.tokens[id]), "single_word": false,
                    "lstrip": false,
                    "rstrip": false, "normalized": false, "special": .bool(isSpecial),
                ]
            })
    }

    private var addsSpacePrefix: Bool { vocabulary.addSpacePrefix ?? true }

    private var normalizer: JSON {
        if let preTokenizer { return preTokenizer.normalizes ? ["type": "NFC"] : .null }
        let spaces: JSON = ["type": "Replace", "pattern": ["String": " "], "content": "▁"]
        return [
            "type": "Sequence",
            "normalizers": addsSpacePrefix ? [["type": "Prepend", "prepend": "▁"], spaces] : [spaces],
        ]
    }

    private var decoder: JSON {
        guard preTokenizer == nil else {
            return ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true]
        }
        var steps: [JSON] = [
            ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"], ["type": "Fuse"],
        ]
        if addsSpacePrefix { steps.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
        return ["type": "Sequence", "decoders": .array(steps)]
    }

    private var postProcessor: JSON {
        let text: JSON = ["Sequence": ["id": "A", "type_id": 0]]
        let second: JSON = ["Sequence": ["id": "B", "type_id": 1]]
        let before = addsBOS ? roles.bos.map { [$0] } ?? [] : []
        let after = vocabulary.addEOS == true ? roles.eos.map { [$0] } ?? [] : []
        func pieces(_ ids: [Int32], type: Int) -> [JSON] {
            ids.map { ["SpecialToken": ["id": token($0), "type_id": .integer(type)]] }
        }
        let single = pieces(before, type: 0) + [text] + pieces(after, type: 0)
        var specials: JSON = [:]
        if case .object(var members) = specials {
            for id in before + after {
                let content = vocabulary.tokens[Int(id)]
                members[content] = ["id": .string(content), "ids": [.integer(Int(id))], "tokens": [.string(content)]]
            }
            specials = .object(members)
        }
        return [
            "type": "TemplateProcessing", "single": .array(single),
            "pair": .array(single + pieces(before, type: 1) + [second] + pieces(after, type: 1)),
            "special_tokens": specials,
        ]
    }
}
