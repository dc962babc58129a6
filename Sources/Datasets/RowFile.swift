import Files

/// How a plain-text file is cut into documents.
public enum DocumentUnit: String, Sendable, CaseIterable {
    /// Every line that is not blank is a document.
    case line
    /// Documents are separated by blank lines.
    case blankLine = "blank_line"
    /// The file is one document.
    case file
}

/// A row as it stands in its file, not yet parsed.
package struct RawRow: Sendable {
    package enum Content: Sendable {
        /// One JSON value.
        case json([UInt8])
        /// One document of plain text, not yet known to be UTF-8.
        case text([UInt8])
    }
    package var content: Content
    /// Where it stands: "line 12", or "row 3 (line 12)" in a JSON array.
    package var place: String
}

/// A dataset file whose rows are read front to back: a JSON array, JSONL, or plain text, each also `.zst`.
///
/// The container is told by what the file begins with where its name ends in `.json`, else by its name.
package struct RowFile {
    package enum Container: Equatable {
        case jsonLines, jsonArray, text
    }
    let path: String
    package let container: Container
    let documents: DocumentUnit

    /// Looks at the file's name and its first bytes.
    ///
    /// - Throws: ``InputError`` where it cannot be opened, or is of a kind that is not read (with how to convert it).
    package init(_ path: String, documents: DocumentUnit = .line) throws {
        self.path = path
        self.documents = documents
        try Self.refuseForeign(path)
        let head = try Self.firstBytes(path)
        try Self.refuseForeignMagic(head, path)
        let name = path.hasSuffix(".zst") ? String(path.dropLast(4)) : path
        let first = Self.withoutMark(head[...]).first { !Self.isSpace($0) }
        switch Self.suffix(name) {
        case "jsonl", "ndjson": container = .jsonLines
        case "txt", "text", "md": container = .text
        case "json": container = first == UInt8(ascii: "[") ? .jsonArray : .jsonLines
        default: container = first == UInt8(ascii: "[") ? .jsonArray : first == UInt8(ascii: "{") ? .jsonLines : .text
        }
    }

    /// Calls `body` with each row; it returns false to stop.
    ///
    /// - Throws: what `body` throws; ``InputError`` where the container itself is broken.
    package func forEachRow(_ body: (RawRow) throws -> Bool) throws {
        let source = try ByteSource(path)
        switch container {
        case .jsonLines: try Self.lines(of: source, body)
        case .jsonArray: try JSONArrayReader(source).forEachElement(body)
        case .text: try Self.documents(of: source, documents, body)
        }
    }

    private static func lines(of source: ByteSource, _ body: (RawRow) throws -> Bool) throws {
        try source.forEachLine { bytes, number in
            let line = number == 1 ? withoutMark(Array(bytes)[...]) : Array(bytes)[...]
            if line.allSatisfy(isSpace) { return true }
            return try body(RawRow(content: .json(Array(line)), place: "line \(number)"))
        }
    }

    private static func documents(
        of source: ByteSource, _ unit: DocumentUnit, _ body: (RawRow) throws -> Bool
    ) throws {
        if unit == .file {
            let bytes = withoutMark(try source.readAll()[...])
            if !bytes.allSatisfy(isSpace) { _ = try body(RawRow(content: .text(Array(bytes)), place: "line 1")) }
            return
        }
        var paragraph: [UInt8] = []
        var start = 1
        var stopped = false
        func emit() throws -> Bool {
            defer { paragraph.removeAll(keepingCapacity: true) }
            if paragraph.isEmpty { return true }
            stopped = try !body(RawRow(content: .text(paragraph), place: "line \(start)"))
            return !stopped
        }
        try source.forEachLine { bytes, number in
            let line = number == 1 ? withoutMark(Array(bytes)[...]) : Array(bytes)[...]
            if line.allSatisfy(isSpace) { return try emit() }
            if paragraph.isEmpty { start = number } else { paragraph.append(0x0A) }
            paragraph.append(contentsOf: line)
            return unit == .line ? try emit() : true
        }
        if !stopped { _ = try emit() }
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

    /// The bytes without a UTF-8 byte order mark in front.
    static func withoutMark(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes
    }

    private static func suffix(_ name: String) -> String {
        let file = name.split(separator: "/").last ?? ""
        guard let dot = file.lastIndex(of: ".") else { return "" }
        return file[file.index(after: dot)...].lowercased()
    }

    private static func firstBytes(_ path: String) throws -> [UInt8] {
        let source = try ByteSource(path)
        var head = [UInt8](repeating: 0, count: 4096)
        let count = try head.withUnsafeMutableBytes { try source.read(into: $0) }
        return Array(head[..<count])
    }
}

// Files that hold data people train on but that are not read here.
extension RowFile {
    private static let foreign: [String: String] = [
        "parquet": "Parquet", "arrow": "Arrow", "feather": "Arrow", "csv": "CSV", "tsv": "CSV", "pkl": "pickle",
        "pickle": "pickle", "pt": "pickle", "bin": "binary", "xlsx": "spreadsheet", "gz": "gzip", "zip": "zip",
        "bz2": "bzip2", "xz": "xz", "tar": "tar",
    ]

    private static func refuseForeign(_ path: String) throws {
        guard let kind = foreign[suffix(path)] else { return }
        throw foreignError(kind, path)
    }

    private static func refuseForeignMagic(_ head: [UInt8], _ path: String) throws {
        let marks: [(String, [UInt8])] = [
            ("Parquet", Array("PAR1".utf8)), ("Arrow", Array("ARROW1".utf8)), ("gzip", [0x1F, 0x8B]),
            ("zip", [0x50, 0x4B, 3, 4]), ("pickle", [0x80, 4, 0x95]),
        ]
        if let kind = marks.first(where: { head.starts(with: $0.1) })?.0 { throw foreignError(kind, path) }
    }

    private static func foreignError(_ kind: String, _ path: String) -> InputError {
        let load = "python -c \"from datasets import load_dataset; load_dataset"
        let save = "['train'].to_json('data.jsonl')\""
        let hint =
            switch kind {
            case "Parquet": "\(load)('parquet', data_files='\(path)')\(save)"
            case "Arrow": "\(load)('arrow', data_files='\(path)')\(save)"
            case "CSV": "\(load)('csv', data_files='\(path)')\(save)"
            case "pickle":
                "python -c \"import pandas; pandas.read_pickle('\(path)').to_json('data.jsonl', orient='records', lines=True)\""
            case "spreadsheet":
                "python -c \"import pandas; pandas.read_excel('\(path)').to_json('data.jsonl', orient='records', lines=True)\""
            case "gzip", "zip", "bzip2", "xz", "tar":
                "unpack it first, or compress with zstd instead (.jsonl.zst is read)"
            default: "write one JSON object a line to a .jsonl file"
            }
        return InputError(
            "a \(kind) file is not read; datasets are JSONL, JSON or text", file: path, hint: "Convert it: " + hint)
    }
}

extension RawRow {
    /// The bytes the row takes in its file.
    var byteCount: Int {
        switch content {
        case .json(let bytes), .text(let bytes): bytes.count
        }
    }
}
