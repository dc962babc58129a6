import Files

/// A safetensors file, memory-mapped: named arrays, read where they lie.
///
/// Opening reads and checks the header only; see ``SafetensorsWriter`` for writing and ``SafetensorsFolder`` for models in several
/// files. Sendable: nothing about it changes.
public final class SafetensorsFile: Sendable {
    /// Where a tensor lies and what it is.
    public struct Entry: Sendable, Equatable {
        /// How its elements are stored.
        public let type: SafetensorsType
        /// Its dimensions, slowest first (row-major).
        public let shape: [Int]
        /// The bytes of the file that hold it.
        public let bytes: Range<Int>

        /// The number of elements: the product of the shape.
        public var elementCount: Int { bytes.count * 8 / type.bits }
    }

    /// The path it was opened with.
    public let path: String
    /// The tensors' names in the order of their data.
    public let names: [String]
    /// What each tensor is.
    public let entries: [String: Entry]
    /// The header's `__metadata__`.
    public let metadata: [String: String]
    private let file: MappedFile

    /// Maps a file and checks its header.
    ///
    /// - Throws: ``InputError`` naming the file, and the tensor, where a rule of the format is broken.
    public init(_ path: String) throws {
        file = try MappedFile(path)
        let header = try SafetensorsHeader(file)
        self.path = path
        names = header.names
        entries = header.entries
        metadata = header.metadata
    }

    /// What a tensor is.
    ///
    /// - Throws: ``InputError`` with the nearest name where there is none of this name.
    public func entry(_ name: String) throws -> Entry {
        if let entry = entries[name] { return entry }
        let near = nearestName(to: name, among: names)
        throw InputError("there is no tensor '\(name)'", file: path, hint: near.map { "The nearest is '\($0)'" })
    }

    /// A tensor's bytes as stored, at any alignment. Valid as long as this object lives.
    public func rawBytes(_ name: String) throws -> UnsafeRawBufferPointer {
        file.pointer(to: try entry(name).bytes)
    }

    /// Reads a tensor stored as F64, F32, F16 or BF16 into `Float`s, row-major.
    ///
    /// `target` must have exactly the tensor's number of elements.
    ///
    /// - Throws: ``InputError`` where there is no such tensor or it does not hold floating-point numbers of these types.
    public func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        let entry = try entry(name)
        precondition(
            target.count == entry.elementCount, "tensor \(name) \(entry.shape) read into \(target.count) elements")
        guard let convert = entry.type.floatConversion else {
            throw InputError(
                "holds \(entry.type.rawValue), which cannot be read as numbers here", file: path,
                place: "tensor '\(name)'", hint: "F64, F32, F16 and BF16 can")
        }
        guard let from = file.pointer(to: entry.bytes).baseAddress, let to = target.baseAddress else { return }
        let width = entry.type.bits / 8
        inParallel(target.count) { convert(from + $0.lowerBound * width, $0.count, to + $0.lowerBound) }
    }

    /// Lets go of the memory that a tensor's bytes took when they were read; they can be read again.
    public func releasePages(of name: String) throws { file.releasePages(of: try entry(name).bytes) }

    /// Reads a tensor as ``readFloats(_:into:)`` does, into a new array.
    public func floats(_ name: String) throws -> [Float] {
        let count = try entry(name).elementCount
        return try [Float](unsafeUninitializedCapacity: count) { buffer, initialised in
            try readFloats(name, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
            initialised = count
        }
    }
}

extension SafetensorsType {
    /// What reads `count` stored elements into `Float`s; nil for types that are not floating-point numbers of 16 bits or more.
    fileprivate var floatConversion: ((UnsafeRawPointer, _ count: Int, UnsafeMutablePointer<Float>) -> Void)? {
        switch self {
        case .f32: { UnsafeMutableRawPointer($2).copyMemory(from: $0, byteCount: 4 * $1) }
        case .f16: { HalfPrecision.convert(half: $0, count: $1, into: $2) }
        case .bf16: { HalfPrecision.convert(brain: $0, count: $1, into: $2) }
        case .f64: { for i in 0..<$1 { $2[i] = Float($0.loadUnaligned(fromByteOffset: 8 &* i, as: Double.self)) } }
        default: nil
        }
    }
}
