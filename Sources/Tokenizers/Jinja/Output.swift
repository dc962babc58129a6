/// Text being written, and whose it is.
final class Output {
    /// A stretch of the text that was written for one message.
    struct Span {
        var message: Int
        var range: Range<Int>
    }

    private(set) var bytes: [UInt8] = []
    /// In order, adjacent stretches of one message merged.
    private(set) var spans: [Span] = []
    /// What `{% generation %}` blocks wrote.
    private(set) var generations: [Range<Int>] = []

    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Appends a text that belongs to a message, or to none.
    func append(_ text: String, message: Int?) {
        let start = bytes.count
        bytes.append(contentsOf: text.utf8)
        if let message { mark(start..<bytes.count, message: message) }
    }

    /// Appends what was captured earlier, each part belonging to the message it was written for; the rest to `message`.
    func append(_ text: String, from captured: Captured, message: Int?) {
        let base = bytes.count
        bytes.append(contentsOf: text.utf8)
        let window = captured.offset(of: text)..<(captured.offset(of: text) + text.utf8.count)
        func placed(_ range: Range<Int>) -> Range<Int> {
            let part = range.clamped(to: window)
            return part.lowerBound - window.lowerBound + base..<part.upperBound - window.lowerBound + base
        }
        var end = base
        for span in captured.output.spans {
            let range = placed(span.range)
            if let message { mark(end..<range.lowerBound, message: message) }
            mark(range, message: span.message)
            end = range.upperBound
        }
        if let message { mark(end..<bytes.count, message: message) }
        for range in captured.output.generations { markGeneration(placed(range)) }
    }

    /// Notes that a range was written by a `{% generation %}` block.
    func markGeneration(_ range: Range<Int>) {
        if !range.isEmpty { generations.append(range) }
    }

    private func mark(_ range: Range<Int>, message: Int) {
        guard !range.isEmpty else { return }
        if let last = spans.last, last.message == message, last.range.upperBound == range.lowerBound {
            spans[spans.count - 1].range = last.range.lowerBound..<range.upperBound
        } else {
            spans.append(Span(message: message, range: range))
        }
    }

    /// The output of a macro or block `set`, kept until its text is printed so that its spans are not lost.
    struct Captured {
        let output: Output
        let text: String
        private let stripped: String

        init(_ output: Output) {
            self.output = output
            text = output.text
            stripped = PythonText.strip(text)
        }

        /// Whether a text being printed is this output, white space at its ends aside.
        func holds(_ printed: String) -> Bool {
            let count = printed.utf8.count
            return (count == text.utf8.count && printed == text)
                || (count == stripped.utf8.count && printed == stripped)
        }

        /// Where the printed text starts in this output.
        func offset(of printed: String) -> Int {
            guard printed.utf8.count != text.utf8.count else { return 0 }
            return text.utf8.count - PythonText.strip(text, right: false).utf8.count
        }
    }
}
