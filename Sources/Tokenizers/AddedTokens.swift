import Files

/// A token beside the model's vocabulary: found in the text before anything else is done to it.
struct AddedToken: Sendable {
    /// Its text.
    var content: String
    /// Its id.
    var id: Int32
    /// Whether it may not touch a word.
    var isSingleWord = false
    /// Whether it takes the white space before it.
    var stripsLeft = false
    /// Whether it takes the white space after it.
    var stripsRight = false
    /// Whether it is looked for, in its normalised form, in the normalised text.
    var isNormalized = false
    /// Whether decoding can leave it out.
    var isSpecial = false
}

/// All added tokens of a tokenizer, and where they stand in a text.
struct AddedTokens: Sendable {
    /// A part of a text: an added token, or what lies between.
    struct Part: Sendable {
        var range: Range<Int>
        var token: Int32?
    }

    /// The tokens, in the file's order.
    let tokens: [AddedToken]
    private let indexOf: [Int32: Int]
    private let idOf: [[UInt8]: Int32]
    private let written: TokenTrie
    private let normalized: TokenTrie
    private let normalizedContents: [Int32: [UInt8]]
    /// A token longer than this is refused: each place of a text may be compared with all of it.
    static let longestContent = 4096

    /// Makes the matchers. `normalize` is the tokenizer's normalizer.
    init(_ tokens: [AddedToken], normalize: (String) -> [UInt8]) {
        let tokens = tokens.filter { !$0.content.isEmpty }
        var written = TokenTrie()
        var normalized = TokenTrie()
        var contents: [Int32: [UInt8]] = [:]
        for (index, token) in tokens.enumerated() {
            guard token.isNormalized else {
                written.add(Array(token.content.utf8), index)
                continue
            }
            let content = normalize(token.content)
            normalized.add(content, index)
            contents[token.id] = content
        }
        self.tokens = tokens
        self.written = written
        self.normalized = normalized
        normalizedContents = contents
        indexOf = Dictionary(tokens.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { $1 })
        // Keyed by bytes: Swift's strings are equal when they look equal, and tokens that differ only in form are two.
        idOf = Dictionary(tokens.map { (Array($0.content.utf8), $0.id) }, uniquingKeysWith: { $1 })
    }

    /// The added token of an id.
    func token(_ id: Int32) -> AddedToken? { indexOf[id].map { tokens[$0] } }

    /// The id of an added token.
    func id(_ content: String) -> Int32? { idOf[Array(content.utf8)] }

    /// What a decoder is given for an id: the content, normalised if that is how it is found.
    func decoderInput(_ id: Int32) -> [UInt8]? {
        normalizedContents[id] ?? token(id).map { Array($0.content.utf8) }
    }

    /// Whether any token is looked for after normalisation.
    var hasNormalized: Bool { !normalized.isEmpty }

    /// The parts of a text as it was written.
    func partsOfWritten(_ bytes: UnsafeBufferPointer<UInt8>, _ classes: inout CharacterClasses) -> [Part] {
        parts(bytes, written, &classes)
    }

    /// The parts of a normalised text.
    func partsOfNormalized(_ bytes: UnsafeBufferPointer<UInt8>, _ classes: inout CharacterClasses) -> [Part] {
        parts(bytes, normalized, &classes)
    }

    private func parts(
        _ bytes: UnsafeBufferPointer<UInt8>, _ trie: TokenTrie, _ classes: inout CharacterClasses
    ) -> [Part] {
        var parts: [Part] = []
        var end = 0
        var index = 0
        while !trie.isEmpty, let match = trie.nextMatch(bytes, from: index) {
            index = match.range.upperBound
            let token = tokens[match.token]
            var (start, stop) = (match.range.lowerBound, match.range.upperBound)
            if token.isSingleWord {
                let touchesWord =
                    classBefore(start, bytes, &classes).contains(.word)
                    || classAt(stop, bytes, &classes).contains(.word)
                if touchesWord { continue }
            }
            if token.stripsLeft {
                while start > 0, classBefore(start, bytes, &classes).contains(.space) { start = previous(start, bytes) }
                // White space that the token before has taken is not taken twice.
                start = max(start, end)
            }
            if token.stripsRight {
                while classAt(stop, bytes, &classes).contains(.space) { stop += characterLength(bytes[stop]) }
            }
            if end < start { parts.append(Part(range: end..<start)) }
            parts.append(Part(range: min(start, stop)..<stop, token: token.id))
            end = stop
        }
        if end < bytes.count { parts.append(Part(range: end..<bytes.count)) }
        return parts
    }

    private func previous(_ index: Int, _ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var index = index - 1
        while index > 0 && bytes[index] & 0xC0 == 0x80 { index -= 1 }
        return index
    }

    private func classBefore(
        _ index: Int, _ bytes: UnsafeBufferPointer<UInt8>, _ classes: inout CharacterClasses
    ) -> CharacterClass {
        index > 0 ? classAt(previous(index, bytes), bytes, &classes) : []
    }

    private func classAt(
        _ index: Int, _ bytes: UnsafeBufferPointer<UInt8>, _ classes: inout CharacterClasses
    ) -> CharacterClass {
        index < bytes.count ? classes.classes(decodeScalar(bytes, index).value) : []
    }
}

/// Finds the leftmost, and there the longest, of some byte strings.
struct TokenTrie: Sendable {
    private let edges = PairTable(capacity: 16)
    private var tokenAt: [Int32] = [-1]
    private var isFirst = [Bool](repeating: false, count: 256)

    /// Whether nothing can match.
    var isEmpty: Bool { tokenAt.count == 1 }

    /// Adds a byte string under a number; the first of equal ones stays.
    mutating func add(_ content: [UInt8], _ token: Int) {
        guard let first = content.first else { return }
        isFirst[Int(first)] = true
        var node: Int32 = 0
        for byte in content {
            let next = edges.value(node, Int32(byte))
            if next == PairTable.absent {
                tokenAt.append(-1)
                edges.set(node, Int32(byte), to: UInt64(tokenAt.count - 1))
                node = Int32(tokenAt.count - 1)
            } else {
                node = Int32(next)
            }
        }
        if tokenAt[Int(node)] < 0 { tokenAt[Int(node)] = Int32(token) }
    }

    /// The next match at or after an index.
    func nextMatch(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> (range: Range<Int>, token: Int)? {
        isFirst.withUnsafeBufferPointer { isFirst in
            var index = start
            while index < bytes.count {
                if isFirst[Int(bytes[index])], let match = longestMatch(bytes, at: index) { return match }
                index &+= 1
            }
            return nil
        }
    }

    private func longestMatch(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> (range: Range<Int>, token: Int)? {
        var node: Int32 = 0
        var index = start
        var best: (range: Range<Int>, token: Int)?
        while index < bytes.count {
            let next = edges.value(node, Int32(bytes[index]))
            if next == PairTable.absent { break }
            node = Int32(next)
            index += 1
            let token = tokenAt[Int(node)]
            if token >= 0 { best = (start..<index, Int(token)) }
        }
        return best
    }
}
