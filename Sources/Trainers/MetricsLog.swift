import Files

/// `metrics.jsonl`: one object a line, written as the run goes.
public final class MetricsLog {
    private let path: String
    private let sink: FileSink

    /// Opens the log for appending, keeping the lines up to and including `step` and dropping those after it.
    ///
    /// - Throws: ``InputError`` where the file holds something else than metrics, ``RunError`` where it cannot be written.
    public init(_ path: String, keepingThrough step: Int) throws {
        self.path = path
        let kept = try Self.lines(of: path) { $0 <= step }
        try FileWriting.replace(path, with: kept.map { $0 + "\n" }.joined())
        sink = try FileSink(appendingTo: path)
    }

    /// Adds a line and hands it to the system.
    public func append(_ line: JSON) throws {
        try sink.write(line.text(.spaced) + "\n")
        try sink.flush()
    }

    private static func lines(of path: String, where isKept: (Int) -> Bool) throws -> [String] {
        guard case .file = PathKind(path) else { return [] }
        var kept: [String] = []
        try ByteSource(path).forEachLine { bytes, number in
            let text = String(decoding: bytes, as: UTF8.self)
            // A crash may have cut the last line short: what is no object with a step is no finished line.
            guard let step = try? JSON(parsing: text)["step"]?.integer, isKept(step) else { return false }
            kept.append(text)
            return true
        }
        return kept
    }
}
