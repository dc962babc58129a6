import Files

/// A named array to be written: what it is, and where its values come from.
public struct SafetensorsTensor {
    /// Takes the next values of a tensor, in row-major order.
    public typealias Sink = (UnsafeBufferPointer<Float>) throws -> Void

    /// The name in the file.
    public let name: String
    /// How the values are stored: F32, F16 or BF16, or bytes as they are.
    public let type: SafetensorsType
    /// Its dimensions, slowest first.
    public let shape: [Int]
    /// Hands all values to the sink, in pieces of any size.
    let values: (Sink) throws -> Void
    /// Makes the bytes of a tensor that is not written from floats.
    let bytes: (() -> [UInt8])?

    /// A tensor whose values are made while the file is written, so that a model needs no second copy in memory.
    ///
    /// `values` is called once; it hands the sink all elements in row-major order, in as many pieces as it likes.
    public init(_ name: String, _ type: SafetensorsType, shape: [Int], values: @escaping (Sink) throws -> Void) {
        precondition(
            [.f32, .f16, .bf16].contains(type), "tensor \(name): \(type.rawValue) cannot be written from floats")
        precondition(name != "__metadata__", "the name __metadata__ is the format's own")
        precondition(type.byteCount(of: shape) != nil, "tensor \(name): shape \(shape)")
        self.name = name
        self.type = type
        self.shape = shape
        self.values = values
        bytes = nil
    }

    /// A tensor of bytes (U8), made while the file is written.
    public init(_ name: String, bytes count: Int, shape: [Int], _ bytes: @escaping () -> [UInt8]) {
        precondition(shape.reduce(1, *) == count, "tensor \(name): \(count) bytes for shape \(shape)")
        self.name = name
        self.type = .u8
        self.shape = shape
        self.values = { _ in }
        self.bytes = bytes
    }

    /// A tensor whose values are at hand.
    public init(_ name: String, _ type: SafetensorsType = .f32, shape: [Int], _ values: [Float]) {
        self.init(name, type, shape: shape) { sink in try values.withUnsafeBufferPointer(sink) }
    }

    /// The bytes it takes in the file.
    var byteCount: Int { shape.reduce(type.bits / 8, *) }
}

/// Writes safetensors files that the reference implementation, and so PyTorch, reads.
public enum SafetensorsWriter {
    /// Writes a file beside the target and renames it into place.
    ///
    /// The data comes in the order given, but wider types first, so that every tensor is aligned (PyTorch asks for that). Equal input
    /// gives equal bytes. `metadata` is the header's `__metadata__`; transformers wants `["format": "pt"]` there.
    ///
    /// - Throws: ``InputError`` where a value does not fit the type, ``RunError`` where the disk is full, and what `values` throws. The
    ///   old file is then untouched.
    public static func write(_ tensors: [SafetensorsTensor], metadata: [String: String] = [:], to path: String) throws {
        precondition(Set(tensors.map(\.name)).count == tensors.count, "two tensors have one name")
        let ordered = [32, 16, 8].flatMap { bits in tensors.filter { $0.type.bits == bits } }
        try FileWriting.replace(path) { file in
            let header = header(of: ordered, metadata: metadata)
            try withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { try file.write($0) }
            try file.write(header)
            for tensor in ordered { try write(tensor, to: file) }
        }
    }

    /// The header's JSON, padded with spaces so that the data starts at a multiple of eight bytes.
    private static func header(of tensors: [SafetensorsTensor], metadata: [String: String]) -> String {
        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }
                .map { JSON.string($0.key).text() + ":" + JSON.string($0.value).text() }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for tensor in tensors {
            let end = offset + tensor.byteCount
            let entry: JSON = [
                "dtype": .string(tensor.type.rawValue), "shape": .array(tensor.shape.map { .integer($0) }),
                "data_offsets": [.integer(offset), .integer(end)],
            ]
            members.append(JSON.string(tensor.name).text() + ":" + entry.text())
            offset = end
        }
        let text = "{" + members.joined(separator: ",") + "}"
        return text + String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
    }

    private static func write(_ tensor: SafetensorsTensor, to file: FileSink) throws {
        if let bytes = tensor.bytes?() {
            precondition(bytes.count == tensor.byteCount, "tensor \(tensor.name) was given \(bytes.count) bytes")
            return try bytes.withUnsafeBytes { try file.write($0) }
        }
        var written = 0
        let pieceSize = 1 << 16
        let scratch = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: pieceSize)
        defer { scratch.deallocate() }
        try tensor.values { values in
            written += values.count
            guard tensor.type != .f32 else { return try file.write(UnsafeRawBufferPointer(values)) }
            var rest = values
            while !rest.isEmpty {
                let piece = UnsafeBufferPointer(rebasing: rest.prefix(pieceSize))
                rest = UnsafeBufferPointer(rebasing: rest.dropFirst(pieceSize))
                try narrow(piece, tensor, into: scratch)
                try file.write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<(2 * piece.count)]))
            }
        }
        let expected = tensor.shape.reduce(1, *)
        precondition(written == expected, "tensor \(tensor.name) \(tensor.shape) was given \(written) values")
    }

    private static func narrow(
        _ values: UnsafeBufferPointer<Float>, _ tensor: SafetensorsTensor,
        into target: UnsafeMutableBufferPointer<UInt16>
    ) throws {
        guard let from = values.baseAddress, let to = target.baseAddress else { return }
        if tensor.type == .bf16 {
            HalfPrecision.convert(from, count: values.count, intoBrain: to)
            return
        }
        HalfPrecision.convert(from, count: values.count, intoHalf: to)
        for i in 0..<values.count where to[i] & 0x7FFF == 0x7C00 && from[i].isFinite {
            throw InputError(
                "tensor '\(tensor.name)' holds \(from[i]), which F16 cannot (its largest is 65504)",
                hint: "Write BF16 or F32 instead")
        }
    }
}
