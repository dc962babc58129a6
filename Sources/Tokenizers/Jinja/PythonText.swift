import Glibc

/// Names for the ASCII bytes that the lexer and the text functions look for.
enum Ascii {
    static let newline = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let openBrace = UInt8(ascii: "{")
    static let closeBrace = UInt8(ascii: "}")
    static let percent = UInt8(ascii: "%")
    static let hash = UInt8(ascii: "#")
    static let minus = UInt8(ascii: "-")
    static let plus = UInt8(ascii: "+")
    static let dot = UInt8(ascii: ".")
    static let underscore = UInt8(ascii: "_")
    static let backslash = UInt8(ascii: "\\")
    static let quote = UInt8(ascii: "'")
    static let doubleQuote = UInt8(ascii: "\"")

    static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
    static func isLetter(_ byte: UInt8) -> Bool {
        (byte | 0x20) >= UInt8(ascii: "a") && (byte | 0x20) <= UInt8(ascii: "z")
    }
    static func isWord(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) || byte == underscore }
    static func isHexDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || ((byte | 0x20) >= UInt8(ascii: "a") && (byte | 0x20) <= UInt8(ascii: "f"))
    }
}

/// Python's `str` operations on UTF-8 bytes: what counts as white space, and searching, splitting and stripping by it.
enum PythonText {
    /// Whether `str.isspace` holds for a character.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 9...13, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// The first index in the range that does not start a white-space character.
    static func startWithoutSpace(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
        var index = range.lowerBound
        while index < range.upperBound {
            var end = index + 1
            while end < range.upperBound && isContinuation(bytes[end]) { end += 1 }
            guard isSpace(bytes, index..<end) else { break }
            index = end
        }
        return index
    }

    /// The end of the range without the white space that closes it.
    static func endWithoutSpace(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
        var end = range.upperBound
        while end > range.lowerBound {
            var start = end - 1
            while start > range.lowerBound && isContinuation(bytes[start]) { start -= 1 }
            guard isSpace(bytes, start..<end) else { break }
            end = start
        }
        return end
    }

    private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

    private static func isSpace(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        var value = UInt32(bytes[range.lowerBound])
        switch range.count {
        case 1: break
        case 2: value = (value & 0x1F) << 6 | UInt32(bytes[range.lowerBound + 1] & 0x3F)
        case 3:
            let low = UInt32(bytes[range.lowerBound + 1] & 0x3F) << 6 | UInt32(bytes[range.lowerBound + 2] & 0x3F)
            value = (value & 0x0F) << 12 | low
        default: return false
        }
        return Unicode.Scalar(value).map { isSpace($0) } ?? false
    }

    /// `text.strip(characters)`, of one side or both; without characters, white space.
    static func strip(_ text: String, _ characters: String? = nil, left: Bool = true, right: Bool = true) -> String {
        let scalars = text.unicodeScalars
        let strips: (Unicode.Scalar) -> Bool
        if let characters {
            let set = Set(characters.unicodeScalars)
            strips = { set.contains($0) }
        } else {
            strips = isSpace
        }
        var start = scalars.startIndex
        var end = scalars.endIndex
        if left { while start < end, strips(scalars[start]) { start = scalars.index(after: start) } }
        if right {
            while start < end {
                let before = scalars.index(before: end)
                guard strips(scalars[before]) else { break }
                end = before
            }
        }
        return start == scalars.startIndex && end == scalars.endIndex ? text : String(scalars[start..<end])
    }

    /// Whether two texts have the same characters. Swift's own `==` takes canonically equivalent texts for equal; Python does not.
    static func areEqual(_ a: String, _ b: String) -> Bool {
        guard a.utf8.count == b.utf8.count else { return false }
        let equal = a.utf8.withContiguousStorageIfAvailable { x in
            b.utf8.withContiguousStorageIfAvailable { y -> Bool in
                guard let first = x.baseAddress, let second = y.baseAddress else { return true }
                return memcmp(first, second, x.count) == 0
            }
        }
        return (equal ?? nil) ?? a.utf8.elementsEqual(b.utf8)
    }

    /// Where a byte string first (or last) occurs in a range; an empty one occurs at once.
    static func find(_ needle: [UInt8], in bytes: [UInt8], _ range: Range<Int>, backwards: Bool = false) -> Int? {
        guard needle.count <= range.count else { return nil }
        guard let first = needle.first else { return backwards ? range.upperBound : range.lowerBound }
        let last = range.upperBound - needle.count
        return bytes.withUnsafeBufferPointer { bytes in
            func matches(_ start: Int) -> Bool {
                bytes[start] == first && needle.indices.allSatisfy { bytes[start + $0] == needle[$0] }
            }
            if backwards { return stride(from: last, through: range.lowerBound, by: -1).first(where: matches) }
            var start = range.lowerBound
            while start <= last, let base = bytes.baseAddress,
                let hit = memchr(base + start, Int32(first), last - start + 1)
            {
                start += UnsafeRawPointer(hit) - UnsafeRawPointer(base + start)
                if matches(start) { return start }
                start += 1
            }
            return nil
        }
    }

    /// `needle in text`.
    static func contains(_ text: String, _ needle: String) -> Bool {
        let bytes = Array(text.utf8)
        return find(Array(needle.utf8), in: bytes, bytes.indices) != nil
    }

    /// `text.split(separator, limit)`, or `rsplit` when taken from the back; at most `limit` cuts.
    static func split(_ text: String, by separator: String, limit: Int = .max, backwards: Bool = false) -> [String] {
        let bytes = Array(text.utf8)
        let mark = Array(separator.utf8)
        var pieces: [String] = []
        var rest = 0..<bytes.count
        while pieces.count < limit, let hit = find(mark, in: bytes, rest, backwards: backwards) {
            if backwards {
                pieces.append(String(decoding: bytes[hit + mark.count..<rest.upperBound], as: UTF8.self))
                rest = rest.lowerBound..<hit
            } else {
                pieces.append(String(decoding: bytes[rest.lowerBound..<hit], as: UTF8.self))
                rest = hit + mark.count..<rest.upperBound
            }
        }
        pieces.append(String(decoding: bytes[rest], as: UTF8.self))
        return backwards ? pieces.reversed() : pieces
    }

    /// `text.split(None, limit)`: cut at runs of white space, no empty pieces; at most `limit` cuts.
    static func splitAtSpace(_ text: String, limit: Int = .max) -> [String] {
        var pieces: [String] = []
        var rest = text.unicodeScalars.drop(while: isSpace)
        while !rest.isEmpty {
            let word = pieces.count < limit ? rest.prefix { !isSpace($0) } : rest
            pieces.append(String(word))
            rest = rest[word.endIndex...].drop(while: isSpace)
        }
        return pieces
    }

    /// `text.rsplit(None, limit)`: the same, cut from the back.
    static func splitAtSpaceFromBack(_ text: String, limit: Int) -> [String] {
        var pieces: [String] = []
        let scalars = text.unicodeScalars
        var end = strip(text, left: false).unicodeScalars.endIndex
        while end > scalars.startIndex {
            let gap = pieces.count < limit ? scalars[..<end].lastIndex(where: isSpace) : nil
            let start = gap.map { scalars.index(after: $0) } ?? scalars.startIndex
            pieces.append(String(scalars[start..<end]))
            end = start
            while end > scalars.startIndex, isSpace(scalars[scalars.index(before: end)]) {
                end = scalars.index(before: end)
            }
        }
        return pieces.reversed()
    }

    /// `text.splitlines(keepends)`.
    static func lines(_ text: String, keepingEnds: Bool = false) -> [String] {
        var lines: [String] = []
        let scalars = text.unicodeScalars
        var start = scalars.startIndex
        var index = start
        while index < scalars.endIndex {
            let scalar = scalars[index]
            var next = scalars.index(after: index)
            switch scalar.value {
            case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
                if scalar == "\r", next < scalars.endIndex, scalars[next] == "\n" { next = scalars.index(after: next) }
                lines.append(String(scalars[start..<(keepingEnds ? next : index)]))
                start = next
            default: break
            }
            index = next
        }
        if start < scalars.endIndex { lines.append(String(scalars[start...])) }
        return lines
    }

    /// `text.replace(old, new, count)`; nil where the result would be larger than `limit` bytes.
    static func replace(_ text: String, _ old: String, _ new: String, count: Int = .max, limit: Int) -> String? {
        let bytes = Array(text.utf8)
        let mark = Array(old.utf8)
        let insert = Array(new.utf8)
        guard !mark.isEmpty else { return interleave(text, new, count: count, limit: limit) }
        var out: [UInt8] = []
        var start = 0
        var done = 0
        while done < count, let hit = find(mark, in: bytes, start..<bytes.count) {
            out += bytes[start..<hit]
            out += insert
            guard out.count <= limit else { return nil }
            start = hit + mark.count
            done += 1
        }
        guard done > 0 else { return text }
        out += bytes[start...]
        return String(decoding: out, as: UTF8.self)
    }

    /// `text.replace("", new, count)`: before every character and at the end.
    private static func interleave(_ text: String, _ new: String, count: Int, limit: Int) -> String? {
        var out = ""
        var done = 0
        for scalar in text.unicodeScalars {
            if done < count { out += new }
            done += 1
            out.unicodeScalars.append(scalar)
            if out.utf8.count > limit { return nil }
        }
        return done < count ? out + new : out
    }

    /// `text.capitalize()`: the first character in title case, the rest in lower case.
    static func capitalize(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
    }

    /// `text.title()`: each run of letters in title case.
    static func title(_ text: String) -> String {
        var out = ""
        var insideWord = false
        for scalar in text.unicodeScalars {
            let properties = scalar.properties
            out += insideWord ? properties.lowercaseMapping : properties.titlecaseMapping
            insideWord = properties.isCased
        }
        return out
    }

    /// Whether Python's `repr` shows a character as it is.
    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }

    /// `repr(text)`: quoted as Python quotes it.
    static func quoted(_ text: String) -> String {
        let quote: Unicode.Scalar =
            text.utf8.contains(Ascii.quote) && !text.utf8.contains(Ascii.doubleQuote) ? "\"" : "'"
        var out = String(Character(quote))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\\": out += "\\\\"
            case quote: out += "\\" + String(Character(quote))
            case _ where isPrintable(scalar): out.unicodeScalars.append(scalar)
            default:
                let hex = String(scalar.value, radix: 16)
                let (mark, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                out += "\\" + mark + String(repeating: "0", count: width - hex.count) + hex
            }
        }
        out.unicodeScalars.append(quote)
        return out
    }
}
