/// Tokens of pieces that were merged before: text repeats its words.
///
/// An open-addressing table of byte strings in one arena. When full it is emptied and fills again.
struct WordCache: Sendable {
    /// A token and how many bytes of the piece it covers.
    struct Token: Sendable {
        var id: Int32
        var length: Int32
    }
    private struct Entry {
        var hash: UInt32
        var keyStart: UInt32
        var keyLength: UInt16
        var valueCount: UInt16
        var valueStart: UInt32
        static let none = Entry(hash: 0, keyStart: 0, keyLength: 0, valueCount: 0, valueStart: 0)
    }
    /// Longer pieces are not kept.
    static let longestKey = 256
    private static let mostEntries = 1 << 17
    private var entries = [Entry](repeating: .none, count: 1 << 12)
    private var count = 0
    private var keys: [UInt8] = []
    private var values: [Token] = []

    /// Appends the tokens of a piece if they are known; says whether they were.
    @inline(__always)
    func append(_ piece: UnsafeBufferPointer<UInt8>, hash: UInt64, to output: inout [Token]) -> Bool {
        let mask = entries.count &- 1
        let tag = UInt32(truncatingIfNeeded: hash >> 32)
        var index = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = entries[index]
            if entry.keyLength == 0 { return false }
            if entry.hash == tag && Int(entry.keyLength) == piece.count && holds(piece, at: Int(entry.keyStart)) {
                let start = Int(entry.valueStart)
                for token in start..<start &+ Int(entry.valueCount) { output.append(values[token]) }
                return true
            }
            index = (index &+ 1) & mask
        }
    }

    /// Keeps the tokens of a piece that ``append(_:hash:to:)`` did not know.
    mutating func insert(_ piece: UnsafeBufferPointer<UInt8>, hash: UInt64, _ tokens: ArraySlice<Token>) {
        guard piece.count <= Self.longestKey else { return }
        if (count + 1) * 2 > entries.count { makeRoom() }
        place(
            Entry(
                hash: UInt32(truncatingIfNeeded: hash >> 32), keyStart: UInt32(keys.count),
                keyLength: UInt16(piece.count),
                valueCount: UInt16(tokens.count), valueStart: UInt32(values.count)),
            at: hash)
        keys.append(contentsOf: piece)
        values.append(contentsOf: tokens)
    }

    @inline(__always)
    private func holds(_ piece: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
        var index = 0
        while index < piece.count {
            if keys[start &+ index] != piece[index] { return false }
            index &+= 1
        }
        return true
    }

    private mutating func place(_ entry: Entry, at hash: UInt64) {
        var index = Int(truncatingIfNeeded: hash) & (entries.count - 1)
        while entries[index].keyLength != 0 { index = (index + 1) & (entries.count - 1) }
        entries[index] = entry
        count += 1
    }

    private mutating func makeRoom() {
        let old = entries
        count = 0
        guard old.count < Self.mostEntries * 2 else {
            entries = [Entry](repeating: .none, count: 1 << 12)
            keys.removeAll(keepingCapacity: true)
            values.removeAll(keepingCapacity: true)
            return
        }
        entries = [Entry](repeating: .none, count: old.count * 2)
        keys.withUnsafeBufferPointer { keys in
            for entry in old where entry.keyLength != 0 {
                let start = Int(entry.keyStart)
                let key = UnsafeBufferPointer(rebasing: keys[start..<start + Int(entry.keyLength)])
                var index = Int(truncatingIfNeeded: tableHash(key)) & (entries.count - 1)
                while entries[index].keyLength != 0 { index = (index + 1) & (entries.count - 1) }
                entries[index] = entry
                count += 1
            }
        }
    }
}

/// What encoding writes on the way. One thread uses it at a time; it is kept between calls for its caches.
struct EncodingScratch: Sendable {
    /// Pieces merged before.
    var cache = WordCache()
    /// Room for merging one piece.
    var word = SymbolList()
    /// The character classes looked up so far.
    var classes = CharacterClasses()
    /// PCRE2's own scratch.
    let matching = MatchState()
}
