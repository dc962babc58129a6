import Files

/// Escapes in string literals, read as Python's `unicode-escape` codec reads them.
enum StringEscapes {
    /// The text between the quotes of a literal with its escapes replaced. An unknown escape stays as written.
    static func decode(_ bytes: ArraySlice<UInt8>, fault: (String) -> InputError) throws -> String {
        guard bytes.contains(Ascii.backslash) else { return String(decoding: bytes, as: UTF8.self) }
        var out: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            guard bytes[index] == Ascii.backslash, index + 1 < bytes.endIndex else {
                out.append(bytes[index])
                index += 1
                continue
            }
            let letter = bytes[index + 1]
            index += 2
            if let plain = simple[letter] {
                out += plain
            } else if let length = hexLengths[letter] {
                let scalar = try readHex(bytes, &index, length: length, fault: fault)
                out += Array(String(Character(scalar)).utf8)
            } else if isOctal(letter) {
                var code = UInt32(letter - UInt8(ascii: "0"))
                var count = 1
                while count < 3, index < bytes.endIndex, isOctal(bytes[index]) {
                    code = code * 8 + UInt32(bytes[index] - UInt8(ascii: "0"))
                    index += 1
                    count += 1
                }
                out += Array(String(Character(Unicode.Scalar(code) ?? "\u{FFFD}")).utf8)
            } else {
                out += [Ascii.backslash, letter]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static let simple: [UInt8: [UInt8]] = [
        UInt8(ascii: "n"): [10], UInt8(ascii: "t"): [9], UInt8(ascii: "r"): [13], UInt8(ascii: "a"): [7],
        UInt8(ascii: "b"): [8], UInt8(ascii: "f"): [12], UInt8(ascii: "v"): [11], Ascii.backslash: [Ascii.backslash],
        Ascii.quote: [Ascii.quote], Ascii.doubleQuote: [Ascii.doubleQuote], Ascii.newline: [],
    ]

    private static let hexLengths: [UInt8: Int] = [UInt8(ascii: "x"): 2, UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8]

    private static func isOctal(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "7") }

    /// Reads the digits of a hexadecimal escape; two halves of a surrogate pair become one character.
    private static func readHex(
        _ bytes: ArraySlice<UInt8>, _ index: inout Int, length: Int, fault: (String) -> InputError
    ) throws -> Unicode.Scalar {
        func digits(at start: Int) -> UInt32? {
            guard start + length <= bytes.endIndex else { return nil }
            let text = String(decoding: bytes[start..<start + length], as: UTF8.self)
            return text.utf8.allSatisfy(Ascii.isHexDigit) ? UInt32(text, radix: 16) : nil
        }
        guard let code = digits(at: index) else { throw fault("an escape in a string lacks hexadecimal digits") }
        index += length
        if let scalar = Unicode.Scalar(code) { return scalar }
        if code < 0xDC00, bytes[index...].starts(with: "\\u".utf8), let low = digits(at: index + 2),
            low >= 0xDC00 && low < 0xE000, let scalar = Unicode.Scalar(0x10000 + (code - 0xD800) << 10 + (low - 0xDC00))
        {
            index += 2 + length
            return scalar
        }
        throw fault("an escape in a string names no character")
    }
}
