import Files

/// Splits a template into tokens by Jinja's rules, as transformers sets them: `trim_blocks` and `lstrip_blocks` on, a newline at the
/// very end of the file dropped.
struct Lexer {
    private let source: [UInt8]
    private var position = 0
    private var line = 1
    /// Whether what was consumed last ended a line, so that white space before the next tag is indentation.
    private var atLineStart = true
    private var tokens: [Token] = []

    /// The tokens of a template, closed by `.end`.
    static func tokens(of text: String) throws -> [Token] {
        var lexer = Lexer(text)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ text: String) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var previous: UInt8 = 0
        for byte in text.utf8 {
            if byte == Ascii.newline && previous == Ascii.carriageReturn {
                previous = byte
                continue
            }
            bytes.append(byte == Ascii.carriageReturn ? Ascii.newline : byte)
            previous = byte
        }
        if bytes.last == Ascii.newline { bytes.removeLast() }
        source = bytes
    }

    private mutating func run() throws {
        while position < source.count {
            guard let tag = nextTag() else {
                appendText(source[position...], atLine: line)
                break
            }
            let raw = rawBlock(at: tag)
            lexText(upTo: tag)
            position = tag + 2
            if let raw {
                try lexRaw(contentAt: raw)
            } else {
                if isSign(at: position) { position += 1 }
                switch source[tag + 1] {
                case Ascii.hash: try skipComment()
                case Ascii.percent: try lexTag(.blockBegin, .blockEnd, closing: Ascii.percent)
                default: try lexTag(.variableBegin, .variableEnd, closing: Ascii.closeBrace)
                }
            }
        }
        tokens.append(Token(kind: .end, line: line))
    }

    // MARK: Text between tags

    /// Where the next `{{`, `{%` or `{#` stands.
    private func nextTag() -> Int? {
        var index = position
        while index + 1 < source.count {
            if source[index] == Ascii.openBrace {
                let next = source[index + 1]
                if next == Ascii.openBrace || next == Ascii.percent || next == Ascii.hash { return index }
            }
            index += 1
        }
        return nil
    }

    /// Emits the text before a tag, stripped as the tag's sign and `lstrip_blocks` ask.
    private mutating func lexText(upTo tag: Int) {
        let sign = tag + 2 < source.count ? source[tag + 2] : 0
        var end = tag
        if sign == Ascii.minus {
            end = PythonText.endWithoutSpace(source, position..<tag)
        } else if sign != Ascii.plus && source[tag + 1] != Ascii.openBrace {
            end = endWithoutIndentation(position..<tag)
        }
        appendText(source[position..<end], atLine: line)
        countLines(position..<tag)
    }

    /// The end of the text without the white space that stands alone before a block tag on its line.
    private func endWithoutIndentation(_ range: Range<Int>) -> Int {
        var lineStart = range.upperBound
        while lineStart > range.lowerBound && source[lineStart - 1] != Ascii.newline { lineStart -= 1 }
        guard lineStart > range.lowerBound || atLineStart else { return range.upperBound }
        let isBlank = PythonText.endWithoutSpace(source, lineStart..<range.upperBound) == lineStart
        return isBlank ? lineStart : range.upperBound
    }

    private mutating func appendText(_ bytes: ArraySlice<UInt8>, atLine line: Int) {
        guard !bytes.isEmpty else { return }
        tokens.append(Token(kind: .text(String(decoding: bytes, as: UTF8.self)), line: line))
    }

    private mutating func countLines(_ range: Range<Int>) {
        for index in range where source[index] == Ascii.newline { line += 1 }
    }

    // MARK: Comments and raw blocks

    private mutating func skipComment() throws {
        var index = position
        while index + 1 < source.count, !(source[index] == Ascii.hash && source[index + 1] == Ascii.closeBrace) {
            index += 1
        }
        guard index + 1 < source.count else { throw fault("a comment is not closed: '#}' is missing") }
        let sign = index > position ? source[index - 1] : 0
        countLines(position..<index)
        finishTag(at: index + 2, sign: sign, trimsNewline: true)
    }

    /// If a `raw` tag starts at `tag`, where its content begins.
    private func rawBlock(at tag: Int) -> Int? {
        guard source[tag + 1] == Ascii.percent else { return nil }
        var index = tag + 2
        if isSign(at: index) { index += 1 }
        guard let end = wordAndTagEnd("raw", at: index) else { return nil }
        return source[end - 3] == Ascii.minus ? PythonText.startWithoutSpace(source, end..<source.count) : end
    }

    /// Where the tag ends if `word`, white space around it allowed, and `%}` follow.
    private func wordAndTagEnd(_ word: String, at start: Int) -> Int? {
        var index = PythonText.startWithoutSpace(source, start..<source.count)
        guard source[index...].starts(with: word.utf8) else { return nil }
        index = PythonText.startWithoutSpace(source, (index + word.utf8.count)..<source.count)
        if isSign(at: index) { index += 1 }
        guard source[index...].starts(with: "%}".utf8) else { return nil }
        return index + 2
    }

    private mutating func lexRaw(contentAt start: Int) throws {
        countLines(position..<start)
        let firstLine = line
        var index = start
        while index + 1 < source.count {
            if source[index] == Ascii.openBrace && source[index + 1] == Ascii.percent {
                let hasSign = isSign(at: index + 2)
                if let end = wordAndTagEnd("endraw", at: index + (hasSign ? 3 : 2)) {
                    position = start
                    atLineStart = source[start - 1] == Ascii.newline
                    lexText(upTo: index)
                    countLines(index..<end)
                    finishTag(at: end, sign: source[end - 3], trimsNewline: true)
                    return
                }
            }
            index += 1
        }
        throw fault("a raw block is not closed: '{% endraw %}' is missing", line: firstLine)
    }

    // MARK: Tags

    /// Moves past a tag's end and the white space that its sign or `trim_blocks` removes.
    private mutating func finishTag(at end: Int, sign: UInt8, trimsNewline: Bool) {
        position = end
        if sign == Ascii.minus {
            position = PythonText.startWithoutSpace(source, end..<source.count)
        } else if sign != Ascii.plus && trimsNewline && end < source.count && source[end] == Ascii.newline {
            position = end + 1
        }
        countLines(end..<position)
        atLineStart = source[position - 1] == Ascii.newline
    }

    private mutating func lexTag(_ begin: Token.Kind, _ end: Token.Kind, closing: UInt8) throws {
        let firstLine = line
        tokens.append(Token(kind: begin, line: line))
        var brackets: [UInt8] = []
        while position < source.count {
            if brackets.isEmpty, let tagEnd = tagEnd(closing: closing) {
                tokens.append(Token(kind: end, line: line))
                finishTag(at: tagEnd, sign: source[position], trimsNewline: closing == Ascii.percent)
                return
            }
            try lexToken(&brackets)
        }
        throw fault("a tag is not closed: \(closing == Ascii.percent ? "'%}'" : "'}}'") is missing", line: firstLine)
    }

    /// Where the tag ends if its closing mark, with or without a sign, stands here. Only blocks know the sign `+`.
    private func tagEnd(closing: UInt8) -> Int? {
        var index = position
        if source[index] == Ascii.minus || (source[index] == Ascii.plus && closing == Ascii.percent) { index += 1 }
        guard index + 1 < source.count, source[index] == closing, source[index + 1] == Ascii.closeBrace else {
            return nil
        }
        return index + 2
    }

    private mutating func lexToken(_ brackets: inout [UInt8]) throws {
        let byte = source[position]
        let afterSpace = PythonText.startWithoutSpace(source, position..<source.count)
        if afterSpace > position {
            countLines(position..<afterSpace)
            position = afterSpace
        } else if Ascii.isDigit(byte) {
            try lexNumber()
        } else if Ascii.isLetter(byte) || byte == Ascii.underscore || byte >= 0x80 {
            try lexName()
        } else if byte == Ascii.quote || byte == Ascii.doubleQuote {
            try lexString(quote: byte)
        } else {
            try lexSymbol(&brackets)
        }
    }

    private mutating func lexName() throws {
        let start = position
        while position < source.count, Ascii.isWord(source[position]) || source[position] >= 0x80 { position += 1 }
        let name = String(decoding: source[start..<position], as: UTF8.self)
        guard name.unicodeScalars.allSatisfy({ $0 == "_" || $0.properties.isXIDContinue }) else {
            throw fault("unexpected character in '\(name.prefix(40))'")
        }
        tokens.append(Token(kind: .name(name), line: line))
    }

    private mutating func lexString(quote: UInt8) throws {
        let firstLine = line
        let start = position + 1
        var index = start
        while index < source.count && source[index] != quote { index += source[index] == Ascii.backslash ? 2 : 1 }
        guard index < source.count else { throw fault("a string is not closed", line: firstLine) }
        let text = try StringEscapes.decode(source[start..<index]) { fault($0, line: firstLine) }
        tokens.append(Token(kind: .string(text), line: firstLine))
        countLines(position..<index)
        position = index + 1
    }

    private mutating func lexSymbol(_ brackets: inout [UInt8]) throws {
        let byte = source[position]
        if position + 1 < source.count {
            let pair = String(decoding: source[position...(position + 1)], as: UTF8.self)
            if ["//", "**", "==", "!=", ">=", "<="].contains(pair) {
                tokens.append(Token(kind: .symbol(pair), line: line))
                position += 2
                return
            }
        }
        guard "+-/*%~[](){}<>=.:|,;".utf8.contains(byte) else {
            throw fault("unexpected character '\(Unicode.Scalar(byte))'")
        }
        switch byte {
        case UInt8(ascii: "("): brackets.append(UInt8(ascii: ")"))
        case UInt8(ascii: "["): brackets.append(UInt8(ascii: "]"))
        case Ascii.openBrace: brackets.append(Ascii.closeBrace)
        case UInt8(ascii: ")"), UInt8(ascii: "]"), Ascii.closeBrace:
            guard brackets.popLast() == byte else { throw fault("unexpected '\(Unicode.Scalar(byte))'") }
        default: break
        }
        tokens.append(Token(kind: .symbol(String(Unicode.Scalar(byte))), line: line))
        position += 1
    }

    // MARK: Numbers

    /// A decimal, hexadecimal, octal or binary integer or a float, with single underscores between digits.
    private mutating func lexNumber() throws {
        let start = position
        let radixes: [UInt8: Int] = [UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2]
        if source[start] == UInt8(ascii: "0"), start + 1 < source.count, let radix = radixes[source[start + 1] | 0x20] {
            position += 2
            while position < source.count, Ascii.isWord(source[position]) { position += 1 }
            return try appendInteger(start + 2..<position, radix: radix)
        }
        skipDigits()
        let isAfterDot = start > 0 && source[start - 1] == Ascii.dot
        var isFloat = false
        if !isAfterDot {
            if position + 1 < source.count, source[position] == Ascii.dot, Ascii.isDigit(source[position + 1]) {
                position += 1
                skipDigits()
                isFloat = true
            }
            isFloat = skipExponent() || isFloat
        }
        guard isFloat else { return try appendInteger(start..<position, radix: 10) }
        let digits = source[start..<position].filter { $0 != Ascii.underscore }
        guard let value = Double(String(decoding: digits, as: UTF8.self)) else { throw fault("not a number") }
        tokens.append(Token(kind: .float(value), line: line))
    }

    private mutating func skipDigits() {
        while position < source.count, Ascii.isDigit(source[position]) || source[position] == Ascii.underscore {
            position += 1
        }
    }

    private mutating func skipExponent() -> Bool {
        guard position < source.count, source[position] | 0x20 == UInt8(ascii: "e") else { return false }
        var index = position + 1
        if isSign(at: index) { index += 1 }
        guard index < source.count, Ascii.isDigit(source[index]) else { return false }
        position = index
        skipDigits()
        return true
    }

    private mutating func appendInteger(_ range: Range<Int>, radix: Int) throws {
        let digits = String(decoding: source[range].filter { $0 != Ascii.underscore }, as: UTF8.self)
        guard let value = Int(digits, radix: radix) else {
            throw fault("the number \(digits.prefix(40)) is not a 64-bit integer")
        }
        tokens.append(Token(kind: .integer(value), line: line))
    }

    // MARK: Helpers

    private func isSign(at index: Int) -> Bool {
        index < source.count && (source[index] == Ascii.minus || source[index] == Ascii.plus)
    }

    private func fault(_ message: String, line: Int? = nil) -> InputError {
        InputError(message, place: "line \(line ?? self.line)")
    }
}
