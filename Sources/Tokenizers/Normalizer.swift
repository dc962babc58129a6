import Files

/// What a tokenizer does to a text before it splits it.
indirect enum Normalizer: Sendable {
    /// One after the other.
    case sequence([Normalizer])
    /// A Unicode normalisation form.
    case unicode(UnicodeForm)
    /// Lower case, character by character.
    case lowercase
    /// Without combining marks.
    case stripAccents
    /// A text put in front, unless the text is empty.
    case prepend([UInt8])
    /// Every match replaced.
    case replace(TextPattern, with: [UInt8])
    /// White space removed at either end.
    case strip(left: Bool, right: Bool)
    /// Bytes as characters of ``ByteLevelAlphabet``.
    case byteLevel

    /// How many times as long `Replace` may make a text, all of them after each other.
    static let mostGrowth = 4096.0

    /// How many times as long replacements make a text at most.
    var growth: Double {
        switch self {
        case .sequence(let parts): parts.reduce(1) { $0 * $1.growth }
        case .replace(let pattern, let content): pattern.growth(with: content)
        default: 1
        }
    }

    /// The normalised text.
    func apply(_ text: AlignedText, _ scratch: inout EncodingScratch) -> AlignedText {
        if text.bytes.isEmpty { return text }
        switch self {
        case .sequence(let parts): return parts.reduce(text) { $1.apply($0, &scratch) }
        case .unicode(let form): return form.apply(text)
        case .lowercase: return text.mapCharacters { $0.properties.lowercaseMapping.utf8 }
        case .stripAccents:
            return text.mapCharacters { scratch.classes.classes($0.value).contains(.mark) ? "".utf8 : String($0).utf8 }
        case .prepend(let prefix): return text.prepending(prefix)
        case .replace(let pattern, let content): return text.replacing(pattern, with: content, scratch.matching)
        case .strip(let left, let right): return text.stripped(left: left, right: right, &scratch.classes)
        case .byteLevel: return text.mappedToByteLevel()
        }
    }
}

/// What `Replace` and `Split` look for: a string, or a regular expression.
enum TextPattern: Sendable {
    /// These bytes, not empty.
    case literal([UInt8])
    /// What the expression matches.
    case expression(SplitPattern)

    /// How many times as long a text becomes at most where every match becomes `content`.
    func growth(with content: [UInt8]) -> Double {
        switch self {
        case .literal(let wanted): max(1, Double(content.count) / Double(wanted.count))
        // An expression may match nothing, between any two bytes.
        case .expression: Double(content.count + 1)
        }
    }

    /// Calls `body` with each match within a range of valid UTF-8.
    func forEachMatch(
        _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ state: MatchState, _ body: (Range<Int>) -> Void
    ) {
        switch self {
        case .expression(let pattern): pattern.forEachMatch(bytes, range, state: state, body)
        case .literal(let wanted):
            var start = range.lowerBound
            while let found = firstIndex(of: wanted, in: bytes, start..<range.upperBound) {
                body(found..<found + wanted.count)
                start = found + wanted.count
            }
        }
    }
}

extension AlignedText {
    /// The text with bytes in front that stand for its first character.
    func prepending(_ prefix: [UInt8]) -> AlignedText {
        guard let first = bytes.first else { return self }
        var rewriter = TextRewriter(self)
        rewriter.write(prefix, for: 0..<characterLength(first))
        rewriter.copy(0..<bytes.count)
        return rewriter.finish()
    }

    /// The text with every match replaced. The new bytes stand for all that was matched.
    func replacing(_ pattern: TextPattern, with content: [UInt8], _ state: MatchState) -> AlignedText {
        var matches: [Range<Int>] = []
        bytes.withUnsafeBufferPointer { buffer in
            pattern.forEachMatch(buffer, 0..<buffer.count, state) { matches.append($0) }
        }
        if matches.isEmpty { return self }
        var rewriter = TextRewriter(self)
        var end = 0
        for match in matches {
            rewriter.copy(end..<match.lowerBound)
            let last = match.isEmpty ? max(match.lowerBound - 1, 0)..<max(match.lowerBound, 1) : match
            rewriter.write(content, for: last)
            end = match.upperBound
        }
        rewriter.copy(end..<bytes.count)
        return rewriter.finish()
    }

    /// The text with every character replaced by some.
    func mapCharacters(_ map: (Unicode.Scalar) -> String.UTF8View) -> AlignedText {
        var rewriter = TextRewriter(self)
        forEachCharacter { range, scalar in rewriter.write(map(scalar), for: range) }
        return rewriter.finish()
    }

    /// The text with every byte written as a character.
    func mappedToByteLevel() -> AlignedText {
        var rewriter = TextRewriter(self)
        for (index, byte) in bytes.enumerated() {
            rewriter.write(ByteLevelAlphabet.characters[Int(byte)], for: index..<index + 1)
        }
        return rewriter.finish()
    }

    fileprivate func stripped(left: Bool, right: Bool, _ classes: inout CharacterClasses) -> AlignedText {
        var kept: Range<Int>?
        forEachCharacter { range, scalar in
            if !classes.classes(scalar.value).contains(.space) {
                kept = (kept?.lowerBound ?? range.lowerBound)..<range.upperBound
            }
        }
        guard let kept else { return left || right ? slice(0..<0) : self }
        return slice((left ? kept.lowerBound : 0)..<(right ? kept.upperBound : bytes.count))
    }

    private func forEachCharacter(_ body: (Range<Int>, Unicode.Scalar) -> Void) {
        bytes.withUnsafeBufferPointer { buffer in
            var index = 0
            while index < buffer.count {
                let (value, length) = decodeScalar(buffer, index)
                body(index..<index + length, Unicode.Scalar(value) ?? "\u{FFFD}")
                index += length
            }
        }
    }
}
