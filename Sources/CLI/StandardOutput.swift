import Files
import Glibc

/// Standard output for results, in large pieces.
final class StandardOutput {
    private var buffer: [UInt8] = []
    private static let size = 1 << 16

    /// Adds text.
    ///
    /// - Throws: ``RunError`` where it cannot be written, a full disk for one.
    func write(_ text: String) throws {
        buffer.append(contentsOf: text.utf8)
        if buffer.count >= Self.size { try flush() }
    }

    /// Writes a whole text at once.
    static func write(_ text: String) throws {
        let output = StandardOutput()
        try output.write(text)
        try output.flush()
    }

    /// Writes one object on a line.
    static func write(_ json: JSON) throws { try write(json.text(.spaced) + "\n") }

    /// Shows a piece of a text that is still growing. A reader who has gone away is told at the next flush.
    func show(_ text: String) {
        try? write(text)
        try? flush()
    }

    /// Writes what has been added.
    func flush() throws {
        var rest = buffer[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else {
                throw RunError("cannot write to standard output: \(String(cString: strerror(errno)))")
            }
            rest = rest.dropFirst(written)
        }
        buffer.removeAll(keepingCapacity: true)
    }
}
