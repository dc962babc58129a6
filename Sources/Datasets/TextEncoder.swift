import Tokenizers

/// Text to tokens with one BOS at most and no EOS.
///
/// A BOS is put in front where the tokenizer's post-processor adds one and the text does not begin with it already (chat templates
/// write their own). Nothing else that a post-processor adds is taken: an end of sequence is added where training needs it.
struct TextEncoder: Sendable {
    let tokenizer: Tokenizer
    /// The token that the post-processor puts in front, if that is BOS.
    let addedBOS: Int32?

    init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
        // An empty text asks nothing of an expression.
        let first = (try? tokenizer.encode("", addSpecialTokens: true))?.first
        addedBOS = first == tokenizer.bosToken ? first : nil
    }

    /// The tokens and the bytes of the text that each stands for; an added BOS stands for none.
    ///
    /// - Throws: as the tokenizer does.
    func encode(_ text: String) throws -> Encoding {
        var encoding = try tokenizer.encodeWithOffsets(text)
        if let addedBOS, encoding.ids.first != addedBOS {
            encoding.ids.insert(addedBOS, at: 0)
            encoding.offsets.insert(0..<0, at: 0)
        }
        return encoding
    }

    /// The tokens alone.
    func tokens(_ text: String) throws -> [Int32] {
        let ids = try tokenizer.encode(text)
        guard let addedBOS, ids.first != addedBOS else { return ids }
        return [addedBOS] + ids
    }

    /// The special tokens of an encoding.
    func specials(of encoding: Encoding) -> [SpecialToken] {
        zip(encoding.ids, encoding.offsets).compactMap { id, range in
            guard !range.isEmpty, tokenizer.isSpecial(id) || id == tokenizer.eosToken else { return nil }
            return SpecialToken(range: range, isEOS: id == tokenizer.eosToken)
        }
    }

    /// Whether a row begins with BOS twice.
    func hasDoubleBOS(_ tokens: [Int32]) -> Bool {
        guard let bos = tokenizer.bosToken, tokens.count > 1 else { return false }
        return tokens[0] == bos && tokens[1] == bos
    }

    /// Whether the last trained token, white space aside, is one that ends a turn or a text.
    func endsTurn(_ tokens: [Int32], _ isTarget: [Bool]) -> Bool {
        for (id, target) in zip(tokens, isTarget).reversed() where target {
            if id == tokenizer.eosToken || tokenizer.isSpecial(id) { return true }
            guard tokenizer.bytes(of: id).allSatisfy(RowFile.isSpace) else { return false }
        }
        return false
    }
}
