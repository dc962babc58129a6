/// Writes small GGUF files, right or wrong as a test wants them.
struct GGUFBuilder {
    /// A tensor: dimensions in the file's order (fastest first) and a type code.
    struct Tensor {
        var name: String
        var dimensions: [UInt64]
        var type: UInt32
        var data: [UInt8]
        /// Where its data begins; nil: behind the tensor before.
        var offset: UInt64?
    }

    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var keyCount: UInt64?
    /// Each key's bytes: name, type code, value.
    var keys: [[UInt8]] = []
    var tensors: [Tensor] = []
    var alignment = 32

    static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian, Array.init)
    }

    static func bytes(_ text: String) -> [UInt8] { bytes(UInt64(text.utf8.count)) + Array(text.utf8) }

    static func bytes(_ values: [Float]) -> [UInt8] { values.flatMap { bytes($0.bitPattern) } }

    mutating func key(_ name: String, _ type: UInt32, _ value: [UInt8]) {
        keys.append(Self.bytes(name) + Self.bytes(type) + value)
    }

    mutating func key(_ name: String, _ text: String) { key(name, 8, Self.bytes(text)) }

    mutating func key(_ name: String, _ number: UInt32) { key(name, 4, Self.bytes(number)) }

    mutating func tensor(
        _ name: String, _ dimensions: [UInt64], type: UInt32 = 0, _ data: [UInt8], offset: UInt64? = nil
    ) {
        tensors.append(Tensor(name: name, dimensions: dimensions, type: type, data: data, offset: offset))
    }

    private func padding(_ count: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: (alignment - count % alignment) % alignment)
    }

    /// The file.
    var file: [UInt8] {
        var out = magic + Self.bytes(version)
        out += Self.bytes(tensorCount ?? UInt64(tensors.count)) + Self.bytes(keyCount ?? UInt64(keys.count))
        out += keys.joined()
        var data: [UInt8] = []
        for tensor in tensors {
            out += Self.bytes(tensor.name) + Self.bytes(UInt32(tensor.dimensions.count))
            out += tensor.dimensions.flatMap { Self.bytes($0) } + Self.bytes(tensor.type)
            out += Self.bytes(tensor.offset ?? UInt64(data.count))
            data += tensor.data
            data += padding(data.count)
        }
        return out + padding(out.count) + data
    }

    /// A file with keys of all types and three tensors.
    static var small: GGUFBuilder {
        var builder = GGUFBuilder()
        builder.key("general.architecture", "llama")
        builder.key("u8", 0, [200])
        builder.key("i8", 1, [200])
        builder.key("u16", 2, bytes(UInt16(60000)))
        builder.key("i16", 3, bytes(Int16(-2)))
        builder.key("u32", 4, bytes(UInt32(4_000_000_000)))
        builder.key("i32", 5, bytes(Int32(-3)))
        builder.key("f32", 6, bytes(Float(1.5).bitPattern))
        builder.key("bool", 7, [1])
        builder.key("list", 9, bytes(UInt32(5)) + bytes(UInt64(2)) + bytes(Int32(7)) + bytes(Int32(-8)))
        builder.key("texts", 9, bytes(UInt32(8)) + bytes(UInt64(2)) + bytes("a") + bytes("ü"))
        let inner = bytes(UInt32(0)) + bytes(UInt64(2)) + [1, 2]
        builder.key("lists", 9, bytes(UInt32(9)) + bytes(UInt64(2)) + inner + inner)
        builder.key("u64", 10, bytes(UInt64(1) << 63))
        builder.key("i64", 11, bytes(Int64(-4)))
        builder.key("f64", 12, bytes((0.1).bitPattern))
        builder.tensor("matrix", [3, 2], bytes([1, 2, 3, 4, 5, 6]))
        builder.tensor("blocks", [32], type: 8, [0, 0x3C] + (0..<32).map { UInt8($0) })
        builder.tensor("other", [256], type: 18, [UInt8](repeating: 0, count: 98))
        return builder
    }
}
