import Files

/// The header of a GGUF file, every rule of the format checked; see ``GGUFFile``.
struct GGUFHeader {
    var keys: [String] = []
    var metadata: [String: GGUFValue] = [:]
    var names: [String] = []
    var entries: [String: GGUFFile.Entry] = [:]

    /// A tensor as described, its place still counted from the start of the data.
    private struct Description {
        let name: String
        let type: GGUFType
        let shape: [Int]
        let offset: Int
        let size: Int
    }

    init(_ bytes: UnsafeRawBufferPointer, path: String) throws {
        var cursor = GGUFCursor(bytes: bytes, path: path)
        try Self.checkMagicAndVersion(&cursor)
        let tensorCount = try cursor.number(UInt64.self)
        let keyCount = try cursor.number(UInt64.self)
        // A tensor is described in at least 24 bytes, a key and its value in at least 13.
        let room = UInt64(bytes.count)
        guard tensorCount <= room / 24, keyCount <= room / 13 else {
            throw cursor.fault(
                "claims \(tensorCount) tensors and \(keyCount) keys, more than its \(bytes.count) bytes can hold")
        }
        for _ in 0..<keyCount { try readKey(&cursor) }
        try rejectSplit(path: path)
        let alignment = try alignment(path: path)
        let described = try (0..<tensorCount).map { _ in try Self.readDescription(&cursor, alignment: alignment) }
        try place(described, after: cursor.offset, alignment: alignment, fileSize: bytes.count, path: path)
    }

    private static func checkMagicAndVersion(_ cursor: inout GGUFCursor) throws {
        guard cursor.bytes.starts(with: "GGUF".utf8) else {
            if cursor.bytes.starts(with: "version https://git-lfs".utf8) {
                throw cursor.fault(
                    "is a Git LFS pointer, not the file it stands for", hint: "Fetch the file with `git lfs pull`")
            }
            throw cursor.fault("is no GGUF file: it does not start with GGUF")
        }
        _ = try cursor.take(4)
        let version = try cursor.number(UInt32.self)
        guard version & 0xFFFF != 0 else {
            throw cursor.fault("is a big-endian GGUF file; only little-endian ones can be read")
        }
        guard version == 2 || version == 3 else {
            throw cursor.fault("has GGUF version \(version); versions 2 and 3 can be read")
        }
    }

    private mutating func readKey(_ cursor: inout GGUFCursor) throws {
        cursor.place = keys.last.map { "after key '\($0)'" }
        let key = try cursor.string()
        cursor.place = "key '\(key)'"
        let value = try cursor.value(cursor.valueType())
        guard metadata.updateValue(value, forKey: key) == nil else { throw cursor.fault("is there twice") }
        keys.append(key)
    }

    private func rejectSplit(path: String) throws {
        if case .integer(let count)? = metadata["split.count"], count > 1 {
            throw InputError(
                "is one of \(count) parts of a split model", file: path,
                hint: "Merge them first: `llama-gguf-split --merge <first part> <whole>.gguf`")
        }
    }

    private func alignment(path: String) throws -> Int {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard case .integer(let alignment) = value, alignment > 0, alignment & (alignment - 1) == 0,
            alignment <= 1 << 30
        else {
            throw InputError("is not a power of two", file: path, place: "key 'general.alignment'")
        }
        return alignment
    }

    private static func readDescription(_ cursor: inout GGUFCursor, alignment: Int) throws -> Description {
        cursor.place = "the list of tensors"
        let name = try cursor.string()
        cursor.place = "tensor '\(name)'"
        let rank = try cursor.number(UInt32.self)
        guard rank <= 4 else { throw cursor.fault("has \(rank) dimensions; at most 4 are possible") }
        var shape: [Int] = []
        var elements = 1
        for _ in 0..<rank {
            let size = try cursor.number(UInt64.self)
            let (product, overflow) = elements.multipliedReportingOverflow(by: Int(exactly: size) ?? .max)
            guard let size = Int(exactly: size), !overflow else { throw cursor.fault("has impossible dimensions") }
            elements = product
            shape.insert(size, at: 0)
        }
        let code = try cursor.number(UInt32.self)
        guard let type = GGUFType.known[code] else { throw cursor.fault("has an unknown type: code \(code)") }
        guard (shape.last ?? 1).isMultiple(of: type.blockSize) else {
            throw cursor.fault(
                "has rows of \(shape.last ?? 1), which \(type.name) with its blocks of \(type.blockSize) cannot")
        }
        let (size, overflow) = (elements / type.blockSize).multipliedReportingOverflow(by: type.blockBytes)
        guard !overflow else { throw cursor.fault("has impossible dimensions") }
        let offset = try cursor.number(UInt64.self)
        guard let offset = Int(exactly: offset), offset.isMultiple(of: alignment) else {
            throw cursor.fault("its data begins at \(offset), which is not a multiple of \(alignment)")
        }
        return Description(name: name, type: type, shape: shape, offset: offset, size: size)
    }

    /// Finds the tensors' places in the file, and checks that they lie in it and apart.
    private mutating func place(
        _ described: [Description], after header: Int, alignment: Int, fileSize: Int, path: String
    ) throws {
        let start = (header + alignment - 1) & ~(alignment - 1)
        func fault(_ tensor: Description, _ message: String, hint: String? = nil) -> InputError {
            InputError(message, file: path, place: "tensor '\(tensor.name)'", hint: hint)
        }
        for tensor in described {
            guard start <= fileSize, tensor.size <= fileSize - start, tensor.offset <= fileSize - start - tensor.size
            else {
                throw fault(
                    tensor,
                    "its \(tensor.size) bytes at \(tensor.offset) reach beyond the end of the file (\(fileSize) bytes)",
                    hint: "The file is cut short or corrupt; copy or download it again")
            }
            let begin = start + tensor.offset
            let entry = GGUFFile.Entry(type: tensor.type, shape: tensor.shape, bytes: begin..<begin + tensor.size)
            guard entries.updateValue(entry, forKey: tensor.name) == nil else { throw fault(tensor, "is there twice") }
            names.append(tensor.name)
        }
        var reached = 0
        for tensor in described.sorted(by: { ($0.offset, $0.size) < ($1.offset, $1.size) }) {
            guard tensor.offset >= reached else { throw fault(tensor, "its data overlaps the tensor before it") }
            reached = tensor.offset + tensor.size
        }
    }
}
