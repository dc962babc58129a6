import CZstd
import Glibc

/// Reads a file front to back in pieces, decompressing it on the way if its name ends in `.zst`.
///
/// Memory use does not grow with the file. A small file that expands without end is the reader's to bound: it gets pieces, never
/// the whole.
public final class ByteSource {
    /// The path it reads.
    public let path: String
    private let descriptor: Int32
    private var stream: OpaquePointer?
    private var compressed: [UInt8] = []
    private var compressedRange = 0..<0
    private var frameComplete = true

    /// Opens the file.
    ///
    /// - Throws: ``InputError`` where it cannot be opened, and for a pipe: files are read more than once.
    public init(_ path: String) throws {
        self.path = path
        // A pipe that nobody writes to would be waited for.
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw InputError("cannot open the file: \(systemReason())", file: path) }
        var status = stat()
        fstat(descriptor, &status)
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFREG || path == "/dev/null" else {
            close(descriptor)
            if kind == S_IFDIR { throw InputError("is a folder, not a file", file: path) }
            throw InputError("is a pipe or a device, not a file", file: path, hint: "Write it to a file first")
        }
        if path.hasSuffix(".zst") {
            stream = ZSTD_createDStream()
            compressed = [UInt8](repeating: 0, count: ZSTD_DStreamInSize())
        }
    }

    deinit {
        close(descriptor)
        ZSTD_freeDStream(stream)
    }

    /// Fills the start of `buffer` with the next bytes and returns how many; 0 means the end.
    ///
    /// - Throws: ``InputError`` where the file cannot be read, or is no zstd stream though its name says so.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard let stream else { return try readFile(into: buffer) }
        while true {
            if compressedRange.isEmpty {
                let count = try compressed.withUnsafeMutableBytes { try readFile(into: $0) }
                if count == 0 {
                    guard frameComplete else { throw InputError("the zstd stream ends too early", file: path) }
                    return 0
                }
                compressedRange = 0..<count
            }
            let produced = try decompress(with: stream, into: buffer)
            if produced > 0 { return produced }
        }
    }

    private func decompress(with stream: OpaquePointer, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try compressed.withUnsafeBytes { bytes in
            var input = ZSTD_inBuffer(
                src: bytes.baseAddress, size: compressedRange.upperBound, pos: compressedRange.lowerBound)
            var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
            let state = ZSTD_decompressStream(stream, &output, &input)
            guard ZSTD_isError(state) == 0 else {
                throw InputError("not a valid zstd stream: \(String(cString: ZSTD_getErrorName(state)))", file: path)
            }
            compressedRange = input.pos..<compressedRange.upperBound
            frameComplete = state == 0
            return output.pos
        }
    }

    private func readFile(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw InputError("cannot read the file: \(systemReason())", file: path) }
            return count
        }
    }

    /// Calls `body` with each line (without its line feed, and without a carriage return before it) and its number from 1.
    ///
    /// A last line without a line feed counts. `body` returns false to stop.
    ///
    /// - Throws: what `body` throws, and ``InputError`` for a line of more than `longestLine` bytes.
    public func forEachLine(
        longestLine: Int = 1 << 28, _ body: (UnsafeRawBufferPointer, Int) throws -> Bool
    ) throws {
        var pending: [UInt8] = []
        var number = 0
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
        defer { piece.deallocate() }
        func emit(_ line: UnsafeRawBufferPointer) throws -> Bool {
            number += 1
            let trimmed = line.last == 0x0D ? UnsafeRawBufferPointer(rebasing: line.dropLast()) : line
            return try body(trimmed, number)
        }
        while true {
            let count = try read(into: piece)
            if count == 0 { break }
            var rest = UnsafeRawBufferPointer(rebasing: piece[..<count])
            while let end = rest.firstIndex(of: 0x0A) {
                let line = UnsafeRawBufferPointer(rebasing: rest[..<end])
                rest = UnsafeRawBufferPointer(rebasing: rest[(end + 1)...])
                let goOn: Bool
                if pending.isEmpty {
                    goOn = try emit(line)
                } else {
                    pending.append(contentsOf: line)
                    goOn = try pending.withUnsafeBytes(emit)
                    pending.removeAll(keepingCapacity: true)
                }
                if !goOn { return }
            }
            pending.append(contentsOf: rest)
            guard pending.count <= longestLine else {
                throw InputError("a line of more than \(longestLine) bytes", file: path, place: "line \(number + 1)")
            }
        }
        if !pending.isEmpty { _ = try pending.withUnsafeBytes(emit) }
    }

    /// Reads the rest of the file into memory.
    ///
    /// - Throws: ``InputError`` where it is larger than `limit` bytes.
    public func readAll(limit: Int = 1 << 32) throws -> [UInt8] {
        var all: [UInt8] = []
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { piece.deallocate() }
        while true {
            let count = try read(into: piece)
            if count == 0 { return all }
            all.append(contentsOf: piece[..<count])
            guard all.count <= limit else { throw InputError("holds more than \(limit) bytes", file: path) }
        }
    }
}
