/// Hand-written matchers for the four splitting patterns that most models use.
///
/// Each pattern matches everything, so a text falls into matches without gaps, and a match needs a look at its first character or
/// two and a run. A test compares them with the regular expressions themselves on random text.
enum WordScanner: Sendable {
    /// GPT-2's pattern.
    case gpt2
    /// The pattern of Llama 3 (numbers in groups of up to three) and Qwen 2 (digits one by one).
    case words(longestNumber: Int)

    /// GPT-2's pattern, as its tokenizer and `ByteLevel` have it.
    static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    /// Llama 3's pattern.
    static let llama3Pattern = wordPattern(number: #"\p{N}{1,3}"#)
    /// Qwen 2's pattern.
    static let qwen2Pattern = wordPattern(number: #"\p{N}"#)

    private static func wordPattern(number: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + number
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// The scanner for a pattern, if there is one.
    init?(pattern: String) {
        switch pattern {
        case Self.gpt2Pattern: self = .gpt2
        case Self.llama3Pattern: self = .words(longestNumber: 3)
        case Self.qwen2Pattern: self = .words(longestNumber: 1)
        default: return nil
        }
    }

    /// Appends the matches within a range of valid UTF-8.
    func split(
        _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, classes: inout CharacterClasses,
        into pieces: inout [Range<Int>]
    ) {
        let run = CharacterRun(bytes: bytes, end: range.upperBound)
        var start = range.lowerBound
        while start < range.upperBound {
            let end =
                switch self {
                case .gpt2: run.endOfGPT2Match(start, &classes)
                case .words(let longest): run.endOfWordMatch(start, longestNumber: longest, &classes)
                }
            pieces.append(start..<end)
            start = end
        }
    }
}

/// A text and where it ends, with the moves of a scanner over it.
private struct CharacterRun {
    let bytes: UnsafeBufferPointer<UInt8>
    let end: Int
    private static let newlines: (UInt8, UInt8) = (0x0A, 0x0D)
    private static let scanned: CharacterClass = [.letter, .number, .space]

    /// The class at an index and the index after it. "Other" is the empty set.
    @inline(__always)
    func step(_ index: Int, _ classes: inout CharacterClasses) -> (CharacterClass, Int) {
        let (scalar, length) = decodeScalar(bytes, index)
        return (classes.classes(scalar).intersection(Self.scanned), index &+ length)
    }

    /// The end of the run of one class that goes on at an index.
    @inline(__always)
    func endOfRun(_ wanted: CharacterClass, _ start: Int, _ classes: inout CharacterClasses) -> Int {
        var index = start
        while index < end {
            let (found, next) = step(index, &classes)
            if found != wanted { break }
            index = next
        }
        return index
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    @inline(__always)
    func endOfGPT2Match(_ start: Int, _ classes: inout CharacterClasses) -> Int {
        if bytes[start] == 0x27, let end = endOfContraction(start, foldCase: false) { return end }
        var (first, next) = step(start, &classes)
        if bytes[start] == 0x20 && next < end {
            let (second, afterSecond) = step(next, &classes)
            if second != .space { (first, next) = (second, afterSecond) }
        }
        return first == .space ? endOfSpaces(start, &classes) : endOfRun(first, next, &classes)
    }

    /// `(?i:'s|…)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    @inline(__always)
    func endOfWordMatch(_ start: Int, longestNumber: Int, _ classes: inout CharacterClasses) -> Int {
        let byte = bytes[start]
        if byte == 0x27, let end = endOfContraction(start, foldCase: true) { return end }
        let (first, next) = step(start, &classes)
        if first == .letter { return endOfRun(.letter, next, &classes) }
        if first == .number { return endOfNumber(next, longest: longestNumber, &classes) }
        var other = first == [] ? next : nil
        if next < end && byte != Self.newlines.0 && byte != Self.newlines.1 {
            let (second, afterSecond) = step(next, &classes)
            if second == .letter { return endOfRun(.letter, afterSecond, &classes) }
            if byte == 0x20 && second == [] { other = afterSecond }
        }
        guard let other else { return endOfLineOrSpaces(start, &classes) }
        var index = endOfRun([], other, &classes)
        while index < end && isNewline(bytes[index]) { index &+= 1 }
        return index
    }

    private func endOfNumber(_ start: Int, longest: Int, _ classes: inout CharacterClasses) -> Int {
        var (index, count) = (start, 1)
        while index < end && count < longest {
            let (found, next) = step(index, &classes)
            if found != .number { break }
            (index, count) = (next, count + 1)
        }
        return index
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` at white space: up to the last line break of the run, else as ``endOfSpaces(_:_:)``.
    private func endOfLineOrSpaces(_ start: Int, _ classes: inout CharacterClasses) -> Int {
        var index = endOfRun(.space, start, &classes)
        while index > start {
            if isNewline(bytes[index &- 1]) { return index }
            index &-= 1
        }
        return endOfSpaces(start, &classes)
    }

    /// `\s+(?!\S)|\s+` at white space: all of it at the end of the text, else all but the last character, but one at least.
    private func endOfSpaces(_ start: Int, _ classes: inout CharacterClasses) -> Int {
        let stop = endOfRun(.space, start, &classes)
        if stop == end { return stop }
        var last = stop &- 1
        while bytes[last] & 0xC0 == 0x80 { last &-= 1 }
        return last > start ? last : stop
    }

    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at an apostrophe. Folding case, `ſ` (long s) is an s.
    private func endOfContraction(_ start: Int, foldCase: Bool) -> Int? {
        func letter(_ index: Int) -> UInt8 {
            guard index < end else { return 0 }
            return foldCase && (0x41...0x5A).contains(bytes[index]) ? bytes[index] | 0x20 : bytes[index]
        }
        switch letter(start + 1) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 2
        case UInt8(ascii: "r") where letter(start + 2) == UInt8(ascii: "e"): return start + 3
        case UInt8(ascii: "v") where letter(start + 2) == UInt8(ascii: "e"): return start + 3
        case UInt8(ascii: "l") where letter(start + 2) == UInt8(ascii: "l"): return start + 3
        case 0xC5 where foldCase && letter(start + 2) == 0xBF: return start + 3
        default: return nil
        }
    }

    @inline(__always)
    private func isNewline(_ byte: UInt8) -> Bool { byte == Self.newlines.0 || byte == Self.newlines.1 }
}
