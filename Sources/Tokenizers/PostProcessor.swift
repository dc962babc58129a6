import Files

/// What is put around the tokens of a text: BOS and EOS, mostly.
struct PostProcessor: Sendable {
    /// One part of the result.
    enum Piece: Sendable {
        /// The text's own tokens.
        case text
        /// These tokens, where special tokens are asked for.
        case special([Int32])
    }

    /// The parts, in order.
    var pieces: [Piece] = [.text]
    /// Whether the tokenizer's file says which special tokens are added, if only by adding none.
    var isStated = false

    /// The processor that applies `other` to what this one made.
    func followed(by other: PostProcessor) -> PostProcessor {
        PostProcessor(
            pieces: other.pieces.flatMap { piece in
                if case .text = piece { pieces } else { [piece] }
            }, isStated: isStated || other.isStated)
    }

    /// The encoding with its special tokens, each with an empty range: at the start before the text, at its end after it.
    func apply(_ encoding: Encoding, textLength: Int, addSpecialTokens: Bool) -> Encoding {
        if pieces.count == 1, case .text = pieces[0] { return encoding }
        var result = Encoding()
        var place = 0
        for piece in pieces {
            switch piece {
            case .text:
                result.ids += encoding.ids
                result.offsets += encoding.offsets
                place = textLength
            case .special(let ids) where addSpecialTokens:
                result.ids += ids
                result.offsets += ids.map { _ in place..<place }
            case .special: break
            }
        }
        return result
    }
}
