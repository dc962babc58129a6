import Files

/// Turns tokens back into text.
indirect enum Decoder: Sendable {
    /// One after the other.
    case sequence([Decoder])
    /// Characters of ``ByteLevelAlphabet`` back into bytes.
    case byteLevel
    /// Tokens `<0x00>`…`<0xFF>` back into bytes.
    case byteFallback
    /// All tokens into one.
    case fuse
    /// Every match within a token replaced.
    case replace(TextPattern, with: [UInt8])
    /// A character removed at the ends of each token, up to so many times.
    case strip(character: [UInt8], start: Int, stop: Int)
    /// SentencePiece's visible spaces back into spaces; those of the first token removed if the tokenizer puts one there.
    case metaspace(replacement: [UInt8], isPrepended: Bool)
    /// No decoder: tokens with spaces between.
    case spaces

    /// How many times as long replacements make a token at most.
    var growth: Double {
        switch self {
        case .sequence(let parts): parts.reduce(1) { $0 * $1.growth }
        case .replace(let pattern, let content): pattern.growth(with: content)
        default: 1
        }
    }

    /// The text of some tokens, in pieces to be joined.
    func decode(_ tokens: [[UInt8]], _ state: MatchState) -> [[UInt8]] {
        switch self {
        case .sequence(let parts): return parts.reduce(tokens) { $1.decode($0, state) }
        case .byteLevel: return [repaired(tokens.flatMap { ByteLevelAlphabet.decode($0) ?? $0 })]
        case .byteFallback: return Self.joiningBytes(tokens)
        case .fuse: return [Array(tokens.joined())]
        case .replace(let pattern, let content):
            return tokens.map {
                AlignedText($0, origin: 0, tracked: false).replacing(pattern, with: content, state).bytes
            }
        case .strip(let character, let start, let stop):
            return tokens.map { Self.stripped($0, character, start, stop) }
        case .metaspace(let replacement, let isPrepended):
            let spaces = Decoder.replace(.literal(replacement), with: [0x20]).decode(Array(tokens.dropFirst()), state)
            guard let first = tokens.first else { return [] }
            let start: [UInt8] = isPrepended ? [] : [0x20]
            return Decoder.replace(.literal(replacement), with: start).decode([first], state) + spaces
        case .spaces: return [Array(tokens.joined(separator: [0x20]))]
        }
    }

    /// The bytes that one token adds to a text in whose middle it stands: perhaps a part of a character.
    func bytes(ofToken token: [UInt8], _ state: MatchState) -> [UInt8] {
        switch self {
        case .sequence(let parts): return parts.reduce(token) { $1.bytes(ofToken: $0, state) }
        case .byteLevel: return ByteLevelAlphabet.decode(token) ?? token
        case .byteFallback: return Self.fallbackByte(token).map { [$0] } ?? token
        case .metaspace(let replacement, _):
            return Decoder.replace(.literal(replacement), with: [0x20]).bytes(ofToken: token, state)
        case .replace: return decode([token], state).flatMap { $0 }
        // Stripping is about where the text starts and ends.
        case .fuse, .strip, .spaces: return token
        }
    }

    /// Replaces runs of `<0x..>` tokens by the text they spell, or by a U+FFFD each where they spell none.
    private static func joiningBytes(_ tokens: [[UInt8]]) -> [[UInt8]] {
        var result: [[UInt8]] = []
        var run: [UInt8] = []
        func endRun() {
            if run.isEmpty { return }
            let isText = String(validating: run, as: UTF8.self) != nil
            result += isText ? [run] : run.map { _ in Array("\u{FFFD}".utf8) }
            run = []
        }
        for token in tokens {
            if let byte = fallbackByte(token) {
                run.append(byte)
            } else {
                endRun()
                result.append(token)
            }
        }
        endRun()
        return result
    }

    private static func fallbackByte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    private static func stripped(_ token: [UInt8], _ character: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
        var rest = token[...]
        var removed = 0
        while removed < start && rest.starts(with: character) {
            rest = rest.dropFirst(character.count)
            removed += 1
        }
        removed = 0
        while removed < stop && rest.count >= character.count && rest.suffix(character.count).elementsEqual(character) {
            rest = rest.dropLast(character.count)
            removed += 1
        }
        return Array(rest)
    }

    private func repaired(_ bytes: [UInt8]) -> [UInt8] { Array(String(decoding: bytes, as: UTF8.self).utf8) }
}
