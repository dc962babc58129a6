import Glibc

/// A file mapped into memory, read-only, for as long as this object lives.
///
/// Sendable because nothing can change what it points to.
public final class MappedFile: @unchecked Sendable {
    /// The path it was opened with.
    public let path: String
    private let bytes: UnsafeRawBufferPointer

    /// Maps the whole file.
    ///
    /// - Throws: ``InputError`` where there is no such file, it is a folder or it may not be read.
    public init(_ path: String) throws {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw InputError("cannot open the file: \(systemReason())", file: path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw InputError("cannot read the file: \(systemReason())", file: path)
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw InputError("is not a regular file", file: path) }
        let count = Int(status.st_size)
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
            throw InputError("cannot map the file: \(systemReason())", file: path)
        }
        bytes = UnsafeRawBufferPointer(start: start, count: count)
    }

    deinit {
        if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
    }

    /// The file's size in bytes.
    public var count: Int { bytes.count }

    /// Calls `body` with the file's bytes, valid during the call only.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(bytes) }
    }

    /// The address of a byte range, for a holder that keeps this object alive as long as it uses it.
    public func pointer(to range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "range \(range) of \(bytes.count) bytes")
        return UnsafeRawBufferPointer(rebasing: bytes[range])
    }

    /// Lets the pages of a range go, which otherwise count as this process's memory once they have been read. Whoever reads them again
    /// gets them from the file.
    public func releasePages(of range: Range<Int>) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = range.lowerBound / page * page
        guard let start = bytes.baseAddress, !range.isEmpty else { return }
        madvise(UnsafeMutableRawPointer(mutating: start + first), range.upperBound - first, MADV_DONTNEED)
    }
}
