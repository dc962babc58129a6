import Glibc

/// Writes files so that a reader, or a crash, sees either the old file or the whole new one.
public enum FileWriting {
    /// Writes beside the target, syncs, and renames over it.
    ///
    /// - Throws: ``RunError`` where the disk is full or the folder cannot be written; the old file is then untouched.
    public static func replace(_ path: String, with body: (FileSink) throws -> Void) throws {
        let temporary = path + ".partial"
        let sink = try FileSink(creating: temporary)
        do {
            try body(sink)
            try sink.finish()
        } catch {
            sink.abandon()
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let reason = systemReason()
            unlink(temporary)
            throw RunError("cannot write \(path): \(reason)")
        }
        try syncFolder(containing: path)
    }

    /// Writes a text file, atomically.
    public static func replace(_ path: String, with text: String) throws {
        try replace(path) { try $0.write(text) }
    }

    /// Removes a file; one that is not there is no fault.
    public static func remove(_ path: String) throws {
        guard unlink(path) == 0 || errno == ENOENT else { throw RunError("cannot remove \(path): \(systemReason())") }
    }

    /// Makes a folder and those above it that are missing.
    public static func makeFolder(_ path: String) throws {
        guard case .missing = PathKind(path) else {
            if case .folder = PathKind(path) { return }
            throw InputError("a file stands where a folder is needed", file: path)
        }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex { try makeFolder(String(path[..<slash])) }
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
            throw RunError("cannot make the folder \(path): \(systemReason())")
        }
    }

    /// Makes the names in a file's folder durable, so that a rename survives a power cut.
    public static func syncFolder(containing path: String) throws {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let descriptor = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw RunError("cannot open the folder \(folder): \(systemReason())") }
        defer { close(descriptor) }
        // Some file systems cannot sync a folder and say EINVAL; they need none.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw RunError("cannot sync the folder \(folder): \(systemReason())")
        }
    }
}

/// A file being written: buffered, every fault reported.
public final class FileSink {
    private let path: String
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private static let bufferSize = 1 << 16
    /// Writing past the process's limit on file sizes raises SIGXFSZ, which ends the program in the middle of a file. Ignored, the
    /// write fails with EFBIG, a fault like any other.
    private static let ignoresSizeSignal: Void = { _ = signal(SIGXFSZ, SIG_IGN) }()

    /// Creates or empties the file.
    public init(creating path: String) throws {
        Self.ignoresSizeSignal
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw RunError("cannot write \(path): \(systemReason())") }
    }

    /// Opens the file for writing at its end, making it where it is missing.
    public init(appendingTo path: String) throws {
        Self.ignoresSizeSignal
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw RunError("cannot write \(path): \(systemReason())") }
    }

    deinit { abandon() }

    /// Writes bytes.
    ///
    /// - Throws: ``RunError`` with the system's reason, a full disk for one.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        if buffer.count + bytes.count > Self.bufferSize { try flush() }
        if bytes.count > Self.bufferSize { try writeThrough(bytes) } else { buffer.append(contentsOf: bytes) }
    }

    /// Writes the UTF-8 of a text.
    public func write(_ text: String) throws {
        var text = text
        try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
    }

    /// Hands what is buffered to the system.
    public func flush() throws {
        try buffer.withUnsafeBytes { try writeThrough($0) }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Hands what is buffered to the system and waits until the disk has it.
    public func sync() throws {
        try flush()
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw RunError("cannot write \(path): \(systemReason())")
        }
    }

    /// Flushes, syncs to the disk and closes.
    public func finish() throws {
        try sync()
        let result = close(descriptor)
        descriptor = -1
        guard result == 0 else { throw RunError("cannot write \(path): \(systemReason())") }
    }

    /// Closes without flushing.
    public func abandon() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    private func writeThrough(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw RunError("cannot write \(path): \(systemReason())") }
            rest = rest.dropFirst(written)
        }
    }
}
