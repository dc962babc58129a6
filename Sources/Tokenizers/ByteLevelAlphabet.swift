/// GPT-2's alphabet: a printable character for each of the 256 bytes, so that a vocabulary of bytes can be written as text.
///
/// `!`–`~`, `¡`–`¬` and `®`–`ÿ` stand for themselves; the other 68 bytes, in order, are U+0100, U+0101 and so on (space is `Ġ`).
enum ByteLevelAlphabet {
    /// The code point of each byte.
    static let scalars: [UInt32] = {
        var next: UInt32 = 0x100
        return (0..<256).map { byte in
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                return UInt32(byte)
            }
            defer { next += 1 }
            return next
        }
    }()

    /// The UTF-8 of each byte's character.
    static let characters: [[UInt8]] = scalars.map { scalar in
        scalar < 0x80 ? [UInt8(scalar)] : [UInt8(0xC0 | scalar >> 6), UInt8(0x80 | scalar & 0x3F)]
    }

    /// The byte of each code point below U+0144, or nil.
    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = UInt8(byte) }
        return bytes
    }()

    /// The bytes that a token stands for, or nil where a character of it is not in the alphabet.
    static func decode(_ token: some Collection<UInt8>) -> [UInt8]? {
        Array(token).withUnsafeBufferPointer { token in
            var decoded: [UInt8] = []
            decoded.reserveCapacity(token.count)
            var index = 0
            while index < token.count {
                let (scalar, length) = decodeScalar(token, index)
                guard scalar < 0x144, let byte = bytes[Int(scalar)] else { return nil }
                decoded.append(byte)
                index += length
            }
            return decoded
        }
    }
}
