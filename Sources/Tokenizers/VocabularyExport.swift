import Files

extension TokenizerVocabulary {
    /// What a GGUF file holds of a tokenizer.
    ///
    /// Ids without a token, up to the model's number of them, are filled with tokens that no text has. The steps before the merges must
    /// be those of a pre-tokenizer that llama.cpp knows by name, and the result is proved: it must encode some texts as the tokenizer
    /// does.
    ///
    /// - Throws: ``InputError`` for a tokenizer that the format cannot say.
    public init(_ tokenizer: Tokenizer, size: Int) throws {
        let file = try JSON(
            parsing: String(decoding: tokenizer.files["tokenizer.json"] ?? [], as: UTF8.self), file: "tokenizer.json")
        let fallsBack = file["model"]?["byte_fallback"]?.bool ?? false
        self.init(model: fallsBack ? "llama" : "gpt2", tokens: [])
        let listed = tokenizer.listedTokens(size: size, unknown: fallsBack ? tokenizer.unknownToken : nil)
        tokens = listed.map(\.token)
        tokenTypes = listed.map(\.type)
        (bos, eos) = (tokenizer.bosToken, tokenizer.eosToken)
        (unknown, padding) = (tokenizer.unknownToken, tokenizer.padToken)
        chatTemplate = tokenizer.chatTemplate
        try setAddedTokens(tokenizer)
        let pairs = try Self.merges(file)
        if fallsBack {
            setScores(pairs)
            addSpacePrefix = Self.addsSpace(file)
        } else {
            merges = pairs.map { "\($0.0) \($0.1)" }
            pre = try VocabularyPreTokenizer.name(of: file)
        }
        try check(against: tokenizer)
    }

    /// Finds out what the tokenizer puts around a text.
    private mutating func setAddedTokens(_ tokenizer: Tokenizer) throws {
        let (plain, full) = (try tokenizer.encode("a"), try tokenizer.encode("a", addSpecialTokens: true))
        var rest = full[...]
        addBOS = false
        addEOS = false
        if let bos, rest.count > plain.count, rest.first == bos {
            rest.removeFirst()
            addBOS = true
        }
        if let eos, rest.count > plain.count, rest.last == eos {
            rest.removeLast()
            addEOS = true
        }
        guard Array(rest) == plain else {
            throw InputError("the tokenizer puts other tokens around a text than BOS and EOS, which GGUF cannot say")
        }
    }

    /// The merges, written as strings or as pairs.
    private static func merges(_ file: JSON) throws -> [(String, String)] {
        try (file["model"]?["merges"]?.array ?? []).enumerated().map { index, merge in
            let parts =
                merge.array?.compactMap(\.string)
                ?? merge.string?.split(separator: " ", omittingEmptySubsequences: false).map(String.init) ?? []
            guard parts.count == 2 else {
                throw InputError("is no pair of tokens", file: "tokenizer.json", place: "model.merges[\(index)]")
            }
            return (parts[0], parts[1])
        }
    }

    /// Scores that fall in the order in which tokens are first merged; what no merge makes comes last.
    private mutating func setScores(_ merges: [(String, String)]) {
        var ranks: [[UInt8]: Int] = [:]
        for (left, right) in merges {
            let token = Array(left.utf8) + Array(right.utf8)
            if ranks[token] == nil { ranks[token] = ranks.count }
        }
        let last = ranks.count
        scores = tokens.map { -Float(ranks[Array($0.utf8)] ?? last) }
    }

    /// Whether the tokenizer puts a space before a text.
    private static func addsSpace(_ file: JSON) -> Bool {
        func steps(_ key: String, _ list: String) -> [JSON] {
            guard let component = file[key] else { return [] }
            return component[list]?.array ?? [component]
        }
        return steps("normalizer", "normalizers").contains { $0["type"] == "Prepend" }
            || steps("pre_tokenizer", "pretokenizers").contains {
                $0["type"] == "Metaspace" && $0["prepend_scheme"] != "never"
            }
    }

    private func check(against tokenizer: Tokenizer) throws {
        let again = try Tokenizer(self)
        let texts = [
            "Hello there!  It's 3:45 p.m. on 12/31/1999; we'll see 1234567 of THEM\n\n\tgo.\r\n",
            "don’t naïve e\u{301} ﬁ",
            "¿Cuántos días tiene? Straße, Ελληνικά, Кириллица, हिन्दी, 漢字かな交じり文, 한국어, 🙂👍🏽",
            "    if (x[i] += 0xFF) { return a->b; } // ok",
        ]
        for text in texts
        where try tokenizer.encode(text, addSpecialTokens: true) != again.encode(text, addSpecialTokens: true) {
            throw InputError("the tokenizer written as GGUF's metadata says it encodes otherwise: \(quoted(text))")
        }
    }
}

extension Tokenizer {
    /// A token for every id below `size`, and its type in GGUF's numbers.
    fileprivate func listedTokens(size: Int, unknown: Int32?) -> [(token: String, type: Int32)] {
        let fallbacks = Set((0..<256).map { BytePairEncoding.fallbackToken(UInt8($0)) })
        return (0..<size).map { id in
            let added = pipeline.added.token(Int32(id))
            if let added {
                if added.id == unknown { return (added.content, 2) }
                return (added.content, added.isSpecial ? 3 : 4)
            }
            guard let bytes = pipeline.model.vocabulary.bytes(of: id) else { return ("[PAD\(id)]", 5) }
            let token = String(decoding: bytes, as: UTF8.self)
            if Int32(id) == unknown { return (token, 2) }
            return (token, fallbacks.contains(token) ? 6 : 1)
        }
    }
}

extension VocabularyPreTokenizer {
    /// The names to write, of each kind the one that llama.cpp's converter writes.
    private static let writtenNames = [
        "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "stablelm2", "qwen35", "gpt-4o", "tekken", "falcon",
        "deepseek-coder", "deepseek-v3", "default",
    ]

    /// The name of the steps in a `tokenizer.json`.
    ///
    /// - Throws: ``InputError`` where they are those of none.
    static func name(of file: JSON) throws -> String {
        let found = VocabularyPreTokenizer(file)
        let sameSteps = writtenNames.filter { name in
            guard let found, let known = known[name] else { return false }
            return known.patterns == found.patterns && known.cutsDigits == found.cutsDigits
                && known.cutsByGPT2 == found.cutsByGPT2 && known.normalizes == found.normalizes
        }
        // Whether a piece that is a token is taken whole seldom matters: it decides between names only.
        guard let name = sameSteps.first(where: { known[$0]?.ignoresMerges == found?.ignoresMerges }) ?? sameSteps.first
        else {
            throw InputError(
                "the tokenizer's normalizer and pre-tokenizer are those of no name that GGUF has",
                file: "tokenizer.json", place: "pre_tokenizer")
        }
        return name
    }

    /// The steps that a file has; nil where others are among them.
    private init?(_ file: JSON) {
        self.init()
        guard let component = file["pre_tokenizer"] else { return nil }
        let steps = component["pretokenizers"]?.array ?? [component]
        guard steps.last?["type"] == "ByteLevel" else { return nil }
        for step in steps {
            switch step["type"]?.string {
            case "Split":
                guard let pattern = step["pattern"]?["Regex"]?.string, step["behavior"] == "Isolated",
                    step["invert"] != true, !cutsDigits
                else { return nil }
                patterns.append(pattern)
            case "Digits":
                guard step["individual_digits"] == true else { return nil }
                cutsDigits = true
            case "ByteLevel":
                guard step["add_prefix_space"] == false else { return nil }
                cutsByGPT2 = step["use_regex"]?.bool ?? true
            default: return nil
            }
        }
        switch file["normalizer"]?["type"]?.string {
        case nil: break
        case "NFC": normalizes = true
        default: return nil
        }
        ignoresMerges = file["model"]?["ignore_merges"]?.bool ?? false
    }
}
