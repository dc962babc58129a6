import Files

/// The header of a safetensors file, every rule of the format checked.
///
/// The file is: header length (8 bytes, little-endian) · header (JSON) · data. Each member of the header but `__metadata__` is
/// `"name": {"dtype": …, "shape": […], "data_offsets": [begin, end]}`, offsets counted from the start of the data, which the tensors
/// must fill without gap or overlap. Source: the format section of https://github.com/huggingface/safetensors.
struct SafetensorsHeader {
    /// In the order of the data.
    var names: [String] = []
    var entries: [String: SafetensorsFile.Entry] = [:]
    var metadata: [String: String] = [:]

    /// The reference implementation's limit on the header's length.
    static let longestHeader = 100_000_000

    init(_ file: MappedFile) throws {
        try file.withBytes { bytes in
            let header = try Self.headerBytes(of: bytes, path: file.path)
            let document = try JSONDocument(parsing: header, file: file.path)
            let isObject = try document.view.forEachMember { name, value in
                try add(String(decoding: name, as: UTF8.self), value, dataStart: 8 + header.count, path: file.path)
            }
            guard isObject else { throw InputError("the header is no JSON object", file: file.path) }
            try Self.rejectRepeatedKeys(in: header, document.view, path: file.path)
            try orderByData(from: 8 + header.count, to: bytes.count, path: file.path)
        }
    }

    private static func headerBytes(of bytes: UnsafeRawBufferPointer, path: String) throws -> UnsafeRawBufferPointer {
        if bytes.starts(with: "version https://git-lfs".utf8) {
            throw InputError(
                "is a Git LFS pointer, not the file it stands for", file: path,
                hint: "Fetch the file with `git lfs pull`")
        }
        guard bytes.count >= 8 else {
            throw InputError("ends inside the header: the file has only \(bytes.count) bytes", file: path)
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(longestHeader) else {
            throw InputError("is no safetensors file: its header would have \(length) bytes", file: path)
        }
        guard Int(length) <= bytes.count - 8 else {
            throw InputError(
                "ends inside the header: that has \(length) bytes, the file \(bytes.count)", file: path,
                hint: "The file is cut short; copy or download it again")
        }
        let header = UnsafeRawBufferPointer(rebasing: bytes[8..<(8 + Int(length))])
        guard header.first == UInt8(ascii: "{") else {
            throw InputError("is no safetensors file: the header does not start with {", file: path)
        }
        return header
    }

    /// JSON parsers keep the last of two members with one name, and a tensor would be lost without a word. The header is valid JSON by
    /// now, so its members are the colons outside strings.
    private static func rejectRepeatedKeys(in header: UnsafeRawBufferPointer, _ root: JSONView, path: String) throws {
        var written = [0, 0, 0]
        var depth = 0
        var inString = false
        var escaped = false
        for byte in header {
            if escaped {
                escaped = false
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString.toggle()
            case UInt8(ascii: "\\") where inString: escaped = true
            case _ where inString: break
            case UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "}"): depth -= 1
            case UInt8(ascii: ":") where depth <= 2: written[depth] += 1
            default: break
            }
        }
        var kept = [0, 0, 0]
        _ = root.forEachMember { _, member in
            kept[1] += 1
            _ = member.forEachMember { _, _ in kept[2] += 1 }
        }
        guard written == kept else { throw InputError("the header names something twice", file: path) }
    }

    private mutating func add(_ name: String, _ value: JSONView, dataStart: Int, path: String) throws {
        let place = name == "__metadata__" ? name : "tensor '\(name)'"
        func fault(_ message: String, hint: String? = nil) -> InputError {
            InputError(message, file: path, place: place, hint: hint)
        }
        if name == "__metadata__" {
            // mlx writes null for none.
            if value.isNull { return }
            let isObject = try value.forEachMember { key, text in
                guard let text = text.string else { throw fault("a value is not a string") }
                metadata[String(decoding: key, as: UTF8.self)] = text
            }
            guard isObject else { throw fault("is not an object") }
            return
        }
        guard let typeName = value["dtype"]?.string else { throw fault("has no dtype") }
        guard let type = SafetensorsType(rawValue: typeName) else {
            let known = SafetensorsType.allCases.map(\.rawValue)
            throw fault("unknown dtype '\(typeName)'", hint: "Known are \(known.joined(separator: ", "))")
        }
        guard let shape = value["shape"].flatMap(Self.integers), shape.allSatisfy({ $0 >= 0 }) else {
            throw fault("its shape is not a list of sizes")
        }
        guard let offsets = value["data_offsets"].flatMap(Self.integers), offsets.count == 2, offsets[0] >= 0 else {
            throw fault("its data_offsets are not two offsets")
        }
        guard offsets[0] <= offsets[1], offsets[1] <= Int.max - dataStart else {
            throw fault("its data ends before it begins, or beyond any file: offsets \(offsets)")
        }
        guard let size = type.byteCount(of: shape), size == offsets[1] - offsets[0] else {
            throw fault("has \(offsets[1] - offsets[0]) bytes, which is not the size of \(typeName) \(shape)")
        }
        names.append(name)
        entries[name] = .init(type: type, shape: shape, bytes: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    private static func integers(_ view: JSONView) -> [Int]? {
        guard let count = view.count else { return nil }
        var result: [Int] = []
        for index in 0..<count {
            guard let integer = view[index].integer else { return nil }
            result.append(integer)
        }
        return result
    }

    /// Sorts the names by their data, and checks that the data lies end to end from the header to the end of the file.
    private mutating func orderByData(from start: Int, to end: Int, path: String) throws {
        let sorted = names.enumerated().compactMap { index, name in
            entries[name].map { (begin: $0.bytes.lowerBound, end: $0.bytes.upperBound, index: index, name: name) }
        }.sorted { ($0.begin, $0.end, $0.index) < ($1.begin, $1.end, $1.index) }
        var reached = start
        for tensor in sorted {
            let place = "tensor '\(tensor.name)'"
            guard tensor.end <= end else {
                throw InputError(
                    "its data reaches to byte \(tensor.end), the file has \(end)", file: path, place: place,
                    hint: "The file is cut short; copy or download it again")
            }
            guard tensor.begin == reached else {
                let what = tensor.begin < reached ? "overlaps the tensor before it" : "leaves a gap before it"
                throw InputError("its data \(what)", file: path, place: place)
            }
            reached = tensor.end
        }
        guard reached == end else {
            throw InputError("\(end - reached) bytes at the end belong to no tensor", file: path)
        }
        names = sorted.map(\.name)
    }
}
