import Files

/// `metrics.jsonl` and its like: one object a line, each with the step that it is of, written as the run goes.
public final class MetricsLog {
    private let sink: FileSink

    /// Opens the log for appending, keeping the lines up to and including `step` and dropping those after it. Where it `repeats`
    /// steps, one may have several lines.
    ///
    /// A line that a crash cut short is after the last checkpoint, because ``sync()`` runs before one is written: it is dropped.
    ///
    /// - Throws: `InputError` where a line up to `step` holds something else than metrics, `RunError` where the log cannot be written.
    public init(_ path: String, keepingThrough step: Int, repeats: Bool = false) throws {
        let kept = try Self.lines(of: path, through: step, repeats: repeats)
        try FileWriting.replace(path) { file in
            for line in kept { try file.write(line + "\n") }
        }
        sink = try FileSink(appendingTo: path)
    }

    /// Adds a line and hands it to the system.
    public func append(_ line: JSON) throws {
        try sink.write(line.text(.spaced) + "\n")
        try sink.flush()
    }

    /// Waits until the disk has every line: before a checkpoint that a run may resume from.
    public func sync() throws { try sink.sync() }

    private static func lines(of path: String, through last: Int, repeats: Bool) throws -> [String] {
        guard last > 0, case .file = PathKind(path) else { return [] }
        var kept: [String] = []
        var reached = 0
        try ByteSource(path).forEachLine { bytes, number in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let step = try? JSON(parsing: text)["step"]?.integer,
                repeats ? step >= reached : step > reached
            else {
                // Of several lines of a step, nobody knows which is the last: one that was cut short is after it.
                if repeats { return false }
                throw InputError(
                    "is no line of metrics that follows step \(reached)", file: path, place: "line \(number)",
                    hint: "Move the file away to go on without it")
            }
            guard step <= last else { return false }
            kept.append(text)
            reached = step
            return repeats || reached < last
        }
        return kept
    }
}
