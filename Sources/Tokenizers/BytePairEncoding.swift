import Files

/// The model: pieces of text into tokens, by merging symbols in the order in which the merges were learnt.
///
/// Two kinds of symbols to start from: bytes (through ``ByteLevelAlphabet``), and characters, where an unknown one falls back to
/// its bytes' tokens `<0x00>`…`<0xFF>` or becomes the unknown token.
final class BytePairEncoding: Sendable {
    /// What a file states about the model, beside vocabulary and merges.
    struct Options: Sendable {
        /// The token of what is not in the vocabulary; without one, unknown characters are left out.
        var unknown: Int32?
        /// Whether several unknown characters in a row are one token.
        var fusesUnknown = false
        /// Whether an unknown character becomes the tokens of its bytes.
        var fallsBackToBytes = false
        /// Whether a piece that is a token is that token, whatever the merges make of it.
        var ignoresMerges = false
    }

    let vocabulary: Vocabulary
    private let merges: PairTable
    private let options: Options
    /// Token of each byte's character in ``ByteLevelAlphabet``, -1 where there is none.
    private let byteSymbols: [Int32]
    /// Token `<0xNN>` of each byte, -1 where there is none.
    private let fallbackSymbols: [Int32]
    /// Token of each ASCII character, -1 where there is none.
    private let asciiSymbols: [Int32]
    /// Whether a text may be cut before every `▁` that follows something else, because no merge joins across such a place.
    let isCutBeforeMetaspace: Bool
    /// U+2581, which SentencePiece writes for a space.
    static let metaspace: [UInt8] = [0xE2, 0x96, 0x81]

    /// A model of a vocabulary and a table (left id, right id) → rank << 32 | merged id.
    init(vocabulary: Vocabulary, merges: PairTable, options: Options, isCutBeforeMetaspace: Bool) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.options = options
        self.isCutBeforeMetaspace = isCutBeforeMetaspace
        byteSymbols = ByteLevelAlphabet.characters.map { vocabulary.id($0) ?? -1 }
        fallbackSymbols = (0..<256).map { vocabulary.id(Self.fallbackToken(UInt8($0))) ?? -1 }
        asciiSymbols = (0..<128).map { vocabulary.id([UInt8($0)]) ?? -1 }
    }

    /// `<0x0A>` for 10.
    static func fallbackToken(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x\(digits.count < 2 ? "0" : "")\(digits)>"
    }

    /// Appends the tokens of some pieces of a text, with the number of bytes that each covers.
    func encode(
        _ bytes: UnsafeBufferPointer<UInt8>, _ pieces: [Range<Int>], asBytes: Bool, _ scratch: inout EncodingScratch,
        into output: inout [WordCache.Token]
    ) {
        for piece in pieces {
            let piece = UnsafeBufferPointer(rebasing: bytes[piece])
            let hash = tableHash(piece)
            if scratch.cache.append(piece, hash: hash, to: &output) { continue }
            let start = output.count
            merge(piece, asBytes: asBytes, &scratch.word, into: &output)
            scratch.cache.insert(piece, hash: hash, output[start...])
        }
    }

    private func merge(
        _ piece: UnsafeBufferPointer<UInt8>, asBytes: Bool, _ word: inout SymbolList,
        into output: inout [WordCache.Token]
    ) {
        if options.ignoresMerges, let id = wholeToken(piece, asBytes: asBytes) {
            output.append(WordCache.Token(id: id, length: Int32(piece.count)))
            return
        }
        word.removeAll()
        if asBytes { appendBytes(of: piece, to: &word) } else { appendCharacters(of: piece, to: &word) }
        word.merge(merges, into: &output)
    }

    private func wholeToken(_ piece: UnsafeBufferPointer<UInt8>, asBytes: Bool) -> Int32? {
        asBytes ? vocabulary.id(piece.flatMap { ByteLevelAlphabet.characters[Int($0)] }) : vocabulary.id(piece)
    }

    private func appendBytes(of piece: UnsafeBufferPointer<UInt8>, to word: inout SymbolList) {
        var unknown = UnknownRun(id: options.unknown, isFused: options.fusesUnknown)
        for byte in piece {
            let id = byteSymbols[Int(byte)]
            if id >= 0 {
                unknown.end(&word)
                word.append(id, length: 1)
            } else {
                unknown.add(1, &word)
            }
        }
        unknown.end(&word)
    }

    private func appendCharacters(of piece: UnsafeBufferPointer<UInt8>, to word: inout SymbolList) {
        var unknown = UnknownRun(id: options.unknown, isFused: options.fusesUnknown)
        var index = 0
        while index < piece.count {
            let length = characterLength(piece[index])
            let character = UnsafeBufferPointer(rebasing: piece[index..<index + length])
            let id = length == 1 ? asciiSymbols[Int(piece[index])] : vocabulary.id(character) ?? -1
            if id >= 0 {
                unknown.end(&word)
                word.append(id, length: length)
            } else if options.fallsBackToBytes, character.allSatisfy({ fallbackSymbols[Int($0)] >= 0 }) {
                // An unknown run that is open stays open across bytes, as in the reference.
                for byte in character { word.append(fallbackSymbols[Int(byte)], length: 1) }
            } else {
                unknown.add(length, &word)
            }
            index += length
        }
        unknown.end(&word)
    }
}

/// The unknown characters that have been seen and not yet written.
private struct UnknownRun {
    let id: Int32?
    let isFused: Bool
    private var length = 0

    init(id: Int32?, isFused: Bool) {
        self.id = id
        self.isFused = isFused
    }

    /// Adds an unknown character.
    mutating func add(_ bytes: Int, _ word: inout SymbolList) {
        if !isFused { end(&word) }
        length += bytes
    }

    /// Writes what is open.
    mutating func end(_ word: inout SymbolList) {
        if length == 0 { return }
        if let id { word.append(id, length: length) } else { word.skip(length) }
        length = 0
    }
}
