import Files

/// Reads a GGUF header front to back, every length checked against the file before it is used.
struct GGUFCursor {
    let bytes: UnsafeRawBufferPointer
    let path: String
    /// What is being read, for errors: a key or a tensor.
    var place: String?
    var offset = 0

    func fault(_ message: String, hint: String? = nil) -> InputError {
        InputError(message, file: path, place: place, hint: hint)
    }

    /// The next bytes' range; the cursor moves behind it.
    mutating func take(_ count: Int) throws -> Range<Int> {
        guard count >= 0, count <= bytes.count - offset else {
            throw fault(
                "the file ends inside the header: \(count) bytes wanted at byte \(offset) of \(bytes.count)",
                hint: "The file is cut short or corrupt; copy or download it again")
        }
        defer { offset += count }
        return offset..<offset + count
    }

    /// The next bytes' range, for so many elements of so many bytes.
    mutating func take(_ count: UInt64, of size: Int) throws -> Range<Int> {
        let (total, overflow) = (Int(exactly: count) ?? .max).multipliedReportingOverflow(by: size)
        return try take(overflow ? .max : total)
    }

    /// A little-endian number.
    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws -> Number {
        let range = try take(MemoryLayout<Number>.size)
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: Number.self))
    }

    /// A string: its length in eight bytes, then its UTF-8.
    mutating func string() throws -> String {
        let range = try take(number(UInt64.self), of: 1)
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw fault("the string at byte \(range.lowerBound) is not valid UTF-8")
        }
        return text
    }
}
