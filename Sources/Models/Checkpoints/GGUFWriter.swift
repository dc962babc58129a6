import Files
import Tensors

/// A value to be written into a GGUF file's metadata.
enum GGUFEntry: Sendable {
    case uint32(UInt32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case strings([String])
    case int32s([Int32])
    case float32s([Float])

    /// A size.
    static func size(_ value: Int) -> GGUFEntry { .uint32(UInt32(clamping: value)) }
}

/// A tensor to be written: what it is, and where its numbers come from.
struct GGUFTensor {
    /// The name in the file.
    let name: String
    /// Its dimensions, slowest first.
    let shape: [Int]
    /// How it is stored.
    let storage: GGUFStorage
    /// Makes the numbers, f32, when their turn comes: no two tensors' need memory at once.
    let values: () -> Tensor
}

/// Writes GGUF files of version 3; the layout is ``GGUFFile``'s.
enum GGUFWriter {
    private static let alignment = 32

    /// Writes a file beside the target and renames it into place.
    ///
    /// - Throws: ``InputError`` where a number does not fit its type, ``RunError`` where the disk is full. An old file is then
    ///   untouched.
    static func write(_ metadata: [(key: String, value: GGUFEntry)], _ tensors: [GGUFTensor], to path: String) throws {
        try FileWriting.replace(path) { file in
            let header = header(metadata, tensors)
            try header.withUnsafeBytes { try file.write($0) }
            for tensor in tensors {
                try write(tensor, to: file)
                try pad(file, after: byteCount(tensor))
            }
        }
    }

    private static func type(_ tensor: GGUFTensor) -> (GGUFType, GGUFType.Encoder) {
        guard let type = GGUFType.known[tensor.storage.code], let encode = type.encode else {
            preconditionFailure("tensor \(tensor.name): nothing writes \(tensor.storage)")
        }
        precondition(
            (tensor.shape.last ?? 1).isMultiple(of: type.blockSize),
            "tensor \(tensor.name) \(tensor.shape) in blocks of \(type.blockSize)")
        return (type, encode)
    }

    private static func byteCount(_ tensor: GGUFTensor) -> Int {
        let (type, _) = type(tensor)
        return tensor.shape.reduce(1, *) / type.blockSize * type.blockBytes
    }

    private static func padding(_ count: Int) -> Int { (alignment - count % alignment) % alignment }

    private static func pad(_ file: FileSink, after count: Int) throws {
        try [UInt8](repeating: 0, count: padding(count)).withUnsafeBytes { try file.write($0) }
    }

    private static func header(_ metadata: [(key: String, value: GGUFEntry)], _ tensors: [GGUFTensor]) -> [UInt8] {
        var header = GGUFHeaderBytes()
        header.bytes += Array("GGUF".utf8)
        header.add(UInt32(3))
        header.add(UInt64(tensors.count))
        header.add(UInt64(metadata.count))
        for (key, value) in metadata {
            header.add(key)
            header.add(value)
        }
        var offset = 0
        for tensor in tensors {
            header.add(tensor.name)
            header.add(UInt32(tensor.shape.count))
            for size in tensor.shape.reversed() { header.add(UInt64(size)) }
            header.add(tensor.storage.code)
            header.add(UInt64(offset))
            offset += byteCount(tensor)
            offset += padding(offset)
        }
        return header.bytes + [UInt8](repeating: 0, count: padding(header.bytes.count))
    }

    /// Encodes a tensor piece by piece, each on all cores.
    private static func write(_ tensor: GGUFTensor, to file: FileSink) throws {
        let values = tensor.values()
        precondition(values.shape == tensor.shape, "tensor \(tensor.name) \(tensor.shape) was given \(values.shape)")
        let (type, encode) = type(tensor)
        let pieceSize = 1 << 22
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(pieceSize, values.count) / type.blockSize * type.blockBytes, alignment: 16)
        defer { buffer.deallocate() }
        try values.withFloats { floats in
            try check(floats, tensor)
            guard let from = floats.baseAddress, let to = buffer.baseAddress else { return }
            for start in stride(from: 0, to: floats.count, by: pieceSize) {
                let count = min(pieceSize, floats.count - start)
                inParallel(count) { range in
                    encode(
                        from + start + range.lowerBound, range.count / type.blockSize,
                        to + range.lowerBound / type.blockSize * type.blockBytes)
                }
                try file.write(UnsafeRawBufferPointer(start: to, count: count / type.blockSize * type.blockBytes))
            }
        }
    }

    /// Numbers beyond the range of 16-bit floats do not go into these, nor into blocks, whose scales they are.
    private static func check(_ floats: UnsafeBufferPointer<Float>, _ tensor: GGUFTensor) throws {
        guard tensor.storage == .f16 || tensor.storage.isQuantized else { return }
        let bound: Float = 65520  // From here on a 16-bit float is infinite.
        guard let value = floats.first(where: { !(abs($0) < bound) }) else { return }
        throw InputError(
            "tensor '\(tensor.name)' holds \(value), which \(tensor.storage) cannot (its largest is 65504)",
            hint: "Write bf16 or f32 instead")
    }
}

/// The bytes of a header as they grow.
private struct GGUFHeaderBytes {
    var bytes: [UInt8] = []

    mutating func add<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ text: String) {
        add(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// A value behind its type's code.
    mutating func add(_ value: GGUFEntry) {
        switch value {
        case .uint32(let number):
            add(GGUFValueType.uint32.rawValue)
            add(number)
        case .float32(let number):
            add(GGUFValueType.float32.rawValue)
            add(number.bitPattern)
        case .bool(let flag):
            add(GGUFValueType.bool.rawValue)
            add(UInt8(flag ? 1 : 0))
        case .string(let text):
            add(GGUFValueType.string.rawValue)
            add(text)
        case .strings(let texts): add(.string, texts) { $0.add($1) }
        case .int32s(let numbers): add(.int32, numbers) { $0.add($1) }
        case .float32s(let numbers): add(.float32, numbers) { $0.add($1.bitPattern) }
        }
    }

    private mutating func add<Element>(
        _ type: GGUFValueType, _ elements: [Element], _ body: (inout GGUFHeaderBytes, Element) -> Void
    ) {
        add(GGUFValueType.array.rawValue)
        add(type.rawValue)
        add(UInt64(elements.count))
        for element in elements { body(&self, element) }
    }
}
