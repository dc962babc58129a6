/// Which tokens of a rendered text are trained, by position alone: a token that occurs in the prompt and in the answer is trained only in
/// the answer.
package enum LossMask {
    /// The tokens that start inside one of the spans. The first token is one only with `first`: else nothing stands before it to predict
    /// it from.
    ///
    /// A token that begins before a span and reaches into it belongs to the prompt.
    package static func targets(offsets: [Range<Int>], spans: [Range<Int>], first: Bool = false) -> [Bool] {
        let spans = spans.filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
        var next = 0
        return offsets.enumerated().map { index, offset in
            while next < spans.count, spans[next].upperBound <= offset.lowerBound { next += 1 }
            return (index > 0 || first) && next < spans.count && spans[next].contains(offset.lowerBound)
        }
    }

    /// The tokens from `boundary` on, the first one only with `first`.
    package static func targets(count: Int, from boundary: Int, first: Bool = false) -> [Bool] {
        (0..<count).map { $0 >= max(boundary, first ? 0 : 1) }
    }

    /// The length of the longest common prefix: where a completion starts.
    package static func commonPrefix<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
        zip(a, b).prefix { $0 == $1 }.count
    }

    /// The spans without what lies in `holes`.
    package static func subtracting(_ holes: [Range<Int>], from spans: [Range<Int>]) -> [Range<Int>] {
        holes.filter { !$0.isEmpty }.reduce(spans) { spans, hole in
            spans.flatMap { span -> [Range<Int>] in
                guard span.overlaps(hole) else { return [span] }
                let before = span.lowerBound..<max(span.lowerBound, hole.lowerBound)
                let after = min(span.upperBound, hole.upperBound)..<span.upperBound
                return [before, after].filter { !$0.isEmpty }
            }
        }
    }
}
