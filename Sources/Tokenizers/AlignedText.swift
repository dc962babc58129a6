/// A piece of text as bytes, each of which knows which bytes of the original text it stands for.
///
/// As long as nothing was rewritten the bytes *are* the original's, shifted by ``origin``, and nothing is stored per byte.
/// After a rewrite every byte has its own range. Ranges cover whole characters: a token that holds one byte of an emoji stands
/// for the emoji. Without tracking, ranges are not known and ``source(of:)`` may not be asked.
struct AlignedText {
    /// UTF-8, always whole characters.
    let bytes: [UInt8]
    /// Where in the original text this piece starts.
    let origin: Int
    /// Whether ranges are kept at all: plain encoding does without.
    let isTracked: Bool
    private let sources: [Range<Int>]?

    /// A piece of the original text, unchanged.
    init(_ bytes: [UInt8], origin: Int, tracked: Bool) {
        self.init(bytes, origin: origin, tracked: tracked, sources: nil)
    }

    fileprivate init(_ bytes: [UInt8], origin: Int, tracked: Bool, sources: [Range<Int>]?) {
        self.bytes = bytes
        self.origin = origin
        isTracked = tracked
        self.sources = sources
    }

    /// The bytes of the original text that a non-empty range of bytes stands for.
    func source(of range: Range<Int>) -> Range<Int> {
        precondition(
            isTracked && !range.isEmpty, "range \(range) of a text whose origins are \(isTracked ? "" : "not ")known")
        if let sources { return sources[range.lowerBound].lowerBound..<sources[range.upperBound - 1].upperBound }
        var (start, end) = (range.lowerBound, range.upperBound)
        while start > 0 && bytes[start] & 0xC0 == 0x80 { start -= 1 }
        while end < bytes.count && bytes[end] & 0xC0 == 0x80 { end += 1 }
        return origin + start..<origin + end
    }

    /// A part of this text.
    func slice(_ range: Range<Int>) -> AlignedText {
        if range == 0..<bytes.count { return self }
        let start = isTracked && !range.isEmpty ? source(of: range).lowerBound : origin + range.lowerBound
        return AlignedText(
            Array(bytes[range]), origin: start, tracked: isTracked, sources: sources.map { Array($0[range]) })
    }
}

/// Writes a new text from an old one, byte ranges in step.
struct TextRewriter {
    private let old: AlignedText
    private(set) var bytes: [UInt8] = []
    private var sources: [Range<Int>] = []

    /// Starts with nothing written.
    init(_ old: AlignedText) {
        self.old = old
        bytes.reserveCapacity(old.bytes.count + old.bytes.count / 4 + 8)
    }

    /// Copies bytes of the old text.
    mutating func copy(_ range: Range<Int>) {
        bytes.append(contentsOf: old.bytes[range])
        guard old.isTracked else { return }
        for index in range { sources.append(old.source(of: index..<index + 1)) }
    }

    /// Writes new bytes that stand for a non-empty range of the old text.
    mutating func write(_ new: some Collection<UInt8>, for range: Range<Int>) {
        bytes.append(contentsOf: new)
        guard old.isTracked && !new.isEmpty else { return }
        let source = old.source(of: range)
        for _ in 0..<new.count { sources.append(source) }
    }

    /// The new text.
    func finish() -> AlignedText {
        AlignedText(bytes, origin: old.origin, tracked: old.isTracked, sources: old.isTracked ? sources : nil)
    }
}

/// The number of bytes of the UTF-8 character that starts with a byte.
@inline(__always)
func characterLength(_ first: UInt8) -> Int { first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4 }

/// The code point at an index of valid UTF-8, and its length in bytes.
@inline(__always)
func decodeScalar(_ bytes: UnsafeBufferPointer<UInt8>, _ index: Int) -> (value: UInt32, length: Int) {
    let first = UInt32(bytes[index])
    if first < 0x80 { return (first, 1) }
    let second = UInt32(bytes[index &+ 1]) & 0x3F
    if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
    let third = UInt32(bytes[index &+ 2]) & 0x3F
    if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
    return ((first & 0x07) << 18 | second << 12 | third << 6 | UInt32(bytes[index &+ 3]) & 0x3F, 4)
}
