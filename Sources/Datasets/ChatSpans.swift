/// A special token in a rendered text.
package struct SpecialToken: Sendable {
    package var range: Range<Int>
    package var isEOS: Bool

    package init(range: Range<Int>, isEOS: Bool) {
        self.range = range
        self.isEOS = isEOS
    }
}

/// Where the model's own words begin and end inside what a template wrote for an assistant message. All ranges are UTF-8 bytes.
package enum ChatSpans {
    /// The text that `add_generation_prompt` added.
    ///
    /// - Parameters:
    ///   - with: a prompt rendered with the generation prompt.
    ///   - without: the same without it.
    ///   - lastSpanEnd: where the last message's text ends in `with`.
    /// - Returns: what follows `without` in `with`; where the two differ earlier (a template that writes an end-of-text token instead),
    ///   what follows the last message.
    package static func generationPrompt(with: [UInt8], without: [UInt8], lastSpanEnd: Int) -> [UInt8] {
        if with.starts(with: without) { return Array(with[without.count...]) }
        return Array(with[min(lastSpanEnd, with.count)...])
    }

    /// The part of an assistant's span that the model writes: from after the generation prompt to and including the end of turn.
    ///
    /// - Parameters:
    ///   - span: what the template wrote in the message's loop iteration.
    ///   - text: the whole rendered text.
    ///   - generationPrompt: what the template writes to ask for an answer.
    ///   - specials: the special tokens of the text, in order.
    /// - Returns: that part, within `span`.
    package static func answer(
        in span: Range<Int>, of text: [UInt8], generationPrompt: [UInt8], specials: [SpecialToken]
    ) -> Range<Int> {
        let inside = specials.filter {
            $0.range.lowerBound >= span.lowerBound && $0.range.upperBound <= span.upperBound
        }
        let start = answerStart(in: span, of: text, generationPrompt, inside)
        return start..<answerEnd(from: start, to: span.upperBound, of: text, inside)
    }

    /// After the longest prefix that span and generation prompt share.
    ///
    /// Where they share only a part (a template that opens `<think>` for the answer but not for old turns), that part ends at the
    /// last line feed or special token in it: what is shared beyond may be an answer that happens to begin alike. Where the span
    /// begins with something else (a default system message before the first turn) but holds the whole prompt, it is after that.
    private static func answerStart(
        in span: Range<Int>, of text: [UInt8], _ prompt: [UInt8], _ specials: [SpecialToken]
    ) -> Int {
        let shared = zip(text[span], prompt).prefix { $0 == $1 }.count
        if shared == prompt.count { return span.lowerBound + shared }
        if let found = firstRange(of: prompt, in: text[span]) { return found.upperBound }
        let limit = span.lowerBound + shared
        let lineEnd = text[span.lowerBound..<limit].lastIndex(of: 0x0A).map { $0 + 1 } ?? span.lowerBound
        let specialEnd = specials.last { $0.range.upperBound <= limit }?.range.upperBound ?? span.lowerBound
        return max(lineEnd, specialEnd)
    }

    /// After the first EOS token; where there is none, after the last special token if only white space follows it (the token that
    /// closes a turn: `<|eot_id|>`, `<end_of_turn>`, `<|end|>` …); where there is none either, the span's end.
    private static func answerEnd(from start: Int, to end: Int, of text: [UInt8], _ specials: [SpecialToken]) -> Int {
        let after = specials.filter { $0.range.lowerBound >= start }
        if let eos = after.first(where: \.isEOS) { return eos.range.upperBound }
        guard let last = after.last, text[last.range.upperBound..<end].allSatisfy(RowFile.isSpace) else { return end }
        return last.range.upperBound
    }

    private static func firstRange(of part: [UInt8], in text: ArraySlice<UInt8>) -> Range<Int>? {
        guard let first = part.first, part.count <= text.count else { return nil }
        for at in text.startIndex...(text.endIndex - part.count)
        where text[at] == first && text[at..<at + part.count].elementsEqual(part) {
            return at..<at + part.count
        }
        return nil
    }
}
