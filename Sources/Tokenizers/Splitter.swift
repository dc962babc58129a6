/// Cuts pieces of a text at matches of a pattern, and does with the matches what a behaviour says.
struct Splitter: Sendable {
    /// What is looked for.
    enum Matcher: Sendable {
        /// Matches of one of the hand-written scanners: all of the text.
        case scanner(WordScanner)
        /// Matches of a string or a regular expression.
        case pattern(TextPattern)
        /// Each character of a class.
        case character(CharacterClass)
        /// Runs of word characters, and runs of what is neither that nor white space: `\w+|[^\w\s]+`.
        case wordRuns
    }

    /// What becomes of a match. With `-` on `the-final--countdown`:
    enum Behavior: String, Sendable, CaseIterable {
        /// `the final countdown`
        case removed = "Removed"
        /// `the - final - - countdown`
        case isolated = "Isolated"
        /// `the- final- - countdown`
        case mergedWithPrevious = "MergedWithPrevious"
        /// `the -final - -countdown`
        case mergedWithNext = "MergedWithNext"
        /// `the - final -- countdown`
        case contiguous = "Contiguous"
    }

    private let matcher: Matcher
    private let behavior: Behavior
    /// Whether what lies between the matches is taken for a match, and the other way round.
    private let isInverted: Bool

    init(_ matcher: Matcher, _ behavior: Behavior, inverted: Bool = false) {
        self.matcher = matcher
        self.behavior = behavior
        isInverted = inverted
    }

    /// GPT-2's words.
    static let gpt2 = Splitter(.scanner(.gpt2), .isolated)

    /// The pieces of the pieces. Empty ones are left out.
    func split(_ bytes: [UInt8], _ pieces: [Range<Int>], _ scratch: inout EncodingScratch) -> [Range<Int>] {
        bytes.withUnsafeBufferPointer { buffer in
            var result: [Range<Int>] = []
            result.reserveCapacity(max(pieces.count, buffer.count / 4))
            if case .scanner(let scanner) = matcher, behavior == .isolated {
                for piece in pieces { scanner.split(buffer, piece, classes: &scratch.classes, into: &result) }
                return result
            }
            for piece in pieces {
                let matches = matches(buffer, piece, &scratch)
                if matches.isEmpty && !isInverted {
                    result.append(piece)
                } else {
                    append(matches, of: piece, to: &result)
                }
            }
            return result
        }
    }

    private func matches(
        _ bytes: UnsafeBufferPointer<UInt8>, _ piece: Range<Int>, _ scratch: inout EncodingScratch
    ) -> [Range<Int>] {
        var matches: [Range<Int>] = []
        switch matcher {
        case .scanner(let scanner): scanner.split(bytes, piece, classes: &scratch.classes, into: &matches)
        case .pattern(let pattern): pattern.forEachMatch(bytes, piece, scratch.matching) { matches.append($0) }
        case .character(let wanted):
            var index = piece.lowerBound
            while index < piece.upperBound {
                let (scalar, length) = decodeScalar(bytes, index)
                if scratch.classes.classes(scalar).contains(wanted) { matches.append(index..<index + length) }
                index += length
            }
        case .wordRuns: appendWordRuns(bytes, piece, &scratch.classes, to: &matches)
        }
        return matches
    }

    private func appendWordRuns(
        _ bytes: UnsafeBufferPointer<UInt8>, _ piece: Range<Int>, _ classes: inout CharacterClasses,
        to matches: inout [Range<Int>]
    ) {
        var index = piece.lowerBound
        var kindBefore: CharacterClass = .space
        while index < piece.upperBound {
            let (scalar, length) = decodeScalar(bytes, index)
            let found = classes.classes(scalar)
            let kind: CharacterClass = found.contains(.word) ? .word : found.contains(.space) ? .space : []
            if kind != .space {
                if kind == kindBefore, let last = matches.popLast() {
                    matches.append(last.lowerBound..<index + length)
                } else {
                    matches.append(index..<index + length)
                }
            }
            kindBefore = kind
            index += length
        }
    }

    /// Appends the pieces that the behaviour makes of a piece and the matches in it.
    private func append(_ matches: [Range<Int>], of piece: Range<Int>, to result: inout [Range<Int>]) {
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        parts.reserveCapacity(matches.count * 2 + 1)
        var end = piece.lowerBound
        for match in matches {
            if end < match.lowerBound { parts.append((end..<match.lowerBound, isInverted)) }
            parts.append((match, !isInverted))
            end = match.upperBound
        }
        if end < piece.upperBound { parts.append((end..<piece.upperBound, isInverted)) }
        let pieces =
            switch behavior {
            case .removed: parts.filter { !$0.isMatch }.map(\.range)
            case .isolated: parts.map(\.range)
            case .contiguous: Self.merged(parts) { $0 == $1 }
            case .mergedWithPrevious: Self.merged(parts) { !$0 && $1 }
            case .mergedWithNext: Self.mergedWithNext(parts)
            }
        for piece in pieces where !piece.isEmpty { result.append(piece) }
    }

    /// Joins each part to the one before it where `joins(previous is match, this is match)`.
    private static func merged(
        _ parts: [(range: Range<Int>, isMatch: Bool)], _ joins: (Bool, Bool) -> Bool
    ) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var previousIsMatch = false
        for part in parts {
            if joins(previousIsMatch, part.isMatch), let last = pieces.popLast() {
                pieces.append(last.lowerBound..<part.range.upperBound)
            } else {
                pieces.append(part.range)
            }
            previousIsMatch = part.isMatch
        }
        return pieces
    }

    private static func mergedWithNext(_ parts: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var nextIsMatch = false
        for part in parts.reversed() {
            if part.isMatch && !nextIsMatch, let next = pieces.popLast() {
                pieces.append(part.range.lowerBound..<next.upperBound)
            } else {
                pieces.append(part.range)
            }
            nextIsMatch = part.isMatch
        }
        return pieces.reversed()
    }
}
