import Files
import Tensors

/// A GGUF file of version 2 or 3, memory-mapped: metadata and named arrays.
///
/// Layout: magic `GGUF`, version, tensor count, metadata count · metadata · tensor descriptions · padding · data. Source: ggml's
/// `docs/gguf.md`. Opening reads the header only; nothing is allocated on the word of a count in it.
final class GGUFFile: Sendable {
    /// Where a tensor lies and what it is.
    struct Entry: Sendable {
        /// How its elements are stored.
        let type: GGUFType
        /// Its dimensions, slowest first: the file's, reversed.
        let shape: [Int]
        /// The bytes of the file that hold it.
        let bytes: Range<Int>

        /// The number of elements.
        var elementCount: Int { shape.reduce(1, *) }
    }

    /// The path it was opened with.
    let path: String
    /// The metadata's keys, in file order.
    let keys: [String]
    /// The metadata.
    let metadata: [String: GGUFValue]
    /// The tensors' names, in file order.
    let names: [String]
    /// What each tensor is.
    let entries: [String: Entry]
    private let file: MappedFile

    /// Maps a file and checks its header.
    ///
    /// - Throws: ``InputError`` naming the file, and the key or tensor, where a rule of the format is broken.
    init(_ path: String) throws {
        file = try MappedFile(path)
        let header = try file.withBytes { try GGUFHeader($0, path: path) }
        self.path = path
        keys = header.keys
        metadata = header.metadata
        names = header.names
        entries = header.entries
    }

    /// What a tensor is.
    ///
    /// - Throws: ``InputError`` with the nearest name where there is none of this name.
    func entry(_ name: String) throws -> Entry {
        if let entry = entries[name] { return entry }
        let near = nearestName(to: name, among: names)
        throw InputError("there is no tensor '\(name)'", file: path, hint: near.map { "The nearest is '\($0)'" })
    }

    /// A tensor's bytes as stored. Valid as long as this object lives.
    func rawBytes(_ name: String) throws -> UnsafeRawBufferPointer { file.pointer(to: try entry(name).bytes) }

    /// Reads a tensor into `Float`s, row-major, as ggml would dequantise it.
    ///
    /// `target` must have exactly the tensor's number of elements.
    ///
    /// - Throws: ``InputError`` where there is no such tensor, or its type cannot be read.
    func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        let entry = try entry(name)
        precondition(
            target.count == entry.elementCount, "tensor \(name) \(entry.shape) read into \(target.count) elements")
        guard let decode = entry.type.decode else {
            throw InputError(
                "is stored as \(entry.type.name), which cannot be read", file: path, place: "tensor '\(name)'",
                hint: "Readable are \(GGUFType.readable.joined(separator: ", "))")
        }
        guard let from = file.pointer(to: entry.bytes).baseAddress, let to = target.baseAddress else { return }
        let type = entry.type
        inParallel(target.count) { range in
            let first = range.lowerBound / type.blockSize
            decode(from + first * type.blockBytes, range.count / type.blockSize, to + range.lowerBound)
        }
    }

    /// Lets go of the memory that a tensor's bytes took when they were read; they can be read again.
    func releasePages(of name: String) throws { file.releasePages(of: try entry(name).bytes) }

    /// Calls `body` with a cursor at the first element of an array of the metadata.
    func withElements<Result>(of array: GGUFArray, key: String, _ body: (inout GGUFCursor) throws -> Result) rethrows
        -> Result
    {
        try file.withBytes { bytes in
            var cursor = GGUFCursor(bytes: bytes, path: path, place: key, offset: array.start)
            return try body(&cursor)
        }
    }
}
