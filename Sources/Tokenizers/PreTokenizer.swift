import Files

/// Cuts a normalised text into the pieces that the model merges within.
struct PreTokenizer: Sendable {
    /// One step.
    enum Step: Sendable {
        /// Cut at matches.
        case split(Splitter)
        /// GPT-2's: perhaps a space in front, perhaps GPT-2's pattern.
        case byteLevel(addPrefixSpace: Bool, useRegex: Bool)
        /// SentencePiece's: spaces become a visible character, words start with it.
        case metaspace(replacement: [UInt8], scheme: PrependScheme, split: Bool)
    }

    /// When `Metaspace` puts its character in front.
    enum PrependScheme: String, Sendable, CaseIterable {
        case always, first, never
    }

    private let steps: [Step]
    /// Whether the pieces that come out are bytes that the model reads through ``ByteLevelAlphabet``.
    ///
    /// True where `ByteLevel` is the last step: the text then keeps its bytes, and only the model knows their characters.
    let yieldsBytes: Bool

    /// A pre-tokenizer of some steps; none leaves the text whole.
    init(_ steps: [Step]) {
        self.steps = steps
        if case .byteLevel = steps.last { yieldsBytes = true } else { yieldsBytes = false }
    }

    /// Cuts a text, perhaps rewriting it, and returns the text and the pieces of it.
    ///
    /// `isStart` says that the text starts where the whole input does.
    func apply(
        _ text: AlignedText, isStart: Bool, _ scratch: inout EncodingScratch
    ) -> (text: AlignedText, pieces: [Range<Int>]) {
        var text = text
        var pieces = [0..<text.bytes.count]
        for (index, step) in steps.enumerated() {
            switch step {
            case .split(let splitter):
                pieces = splitter.split(text.bytes, pieces, &scratch)
            case .byteLevel(let addPrefixSpace, let useRegex):
                if addPrefixSpace { (text, pieces) = text.prefixing(pieces, with: [0x20]) { _ in true } }
                if useRegex { pieces = Splitter.gpt2.split(text.bytes, pieces, &scratch) }
                if index < steps.count - 1 { (text, pieces) = text.mappedToByteLevel(pieces) }
            case .metaspace(let replacement, let scheme, let split):
                (text, pieces) = text.replacingSpaces(pieces, with: replacement)
                if scheme != .never {
                    (text, pieces) = text.prefixing(pieces, with: replacement) {
                        scheme == .always || isStart && $0 == 0
                    }
                }
                if split {
                    let splitter = Splitter(.pattern(.literal(replacement)), .mergedWithNext)
                    pieces = splitter.split(text.bytes, pieces, &scratch)
                }
            }
        }
        return (text, pieces)
    }
}

extension AlignedText {
    /// Puts bytes in front of pieces that do not start with them and whose place `isWanted`.
    fileprivate func prefixing(
        _ pieces: [Range<Int>], with prefix: [UInt8], where isWanted: (Int) -> Bool
    ) -> (AlignedText, [Range<Int>]) {
        func lacksPrefix(_ piece: Range<Int>) -> Bool {
            isWanted(piece.lowerBound) && !bytes[piece].starts(with: prefix)
        }
        guard pieces.contains(where: lacksPrefix) else { return (self, pieces) }
        return rewriting(pieces) { piece, rewriter in
            if lacksPrefix(piece) {
                let first = piece.lowerBound
                rewriter.write(prefix, for: first..<first + characterLength(bytes[first]))
            }
            rewriter.copy(piece)
        }
    }

    fileprivate func replacingSpaces(_ pieces: [Range<Int>], with replacement: [UInt8]) -> (AlignedText, [Range<Int>]) {
        guard bytes.contains(0x20) else { return (self, pieces) }
        return rewriting(pieces) { piece, rewriter in
            var start = piece.lowerBound
            for index in piece where bytes[index] == 0x20 {
                rewriter.copy(start..<index)
                rewriter.write(replacement, for: index..<index + 1)
                start = index + 1
            }
            rewriter.copy(start..<piece.upperBound)
        }
    }

    fileprivate func mappedToByteLevel(_ pieces: [Range<Int>]) -> (AlignedText, [Range<Int>]) {
        rewriting(pieces) { piece, rewriter in
            for index in piece {
                rewriter.write(ByteLevelAlphabet.characters[Int(bytes[index])], for: index..<index + 1)
            }
        }
    }

    private func rewriting(
        _ pieces: [Range<Int>], _ write: (Range<Int>, inout TextRewriter) -> Void
    ) -> (AlignedText, [Range<Int>]) {
        var rewriter = TextRewriter(self)
        let ranges = pieces.map { piece in
            let start = rewriter.bytes.count
            write(piece, &rewriter)
            return start..<rewriter.bytes.count
        }
        return (rewriter.finish(), ranges)
    }
}
