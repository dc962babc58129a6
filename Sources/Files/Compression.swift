import CZstd

/// Zstandard compression of whole buffers: optimizer states in checkpoints.
public enum Compression {
    /// Compresses at the given level (1 fast … 19 small).
    public static func compress(_ bytes: UnsafeRawBufferPointer, level: Int = 3) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { buffer, count in
            let written = ZSTD_compress(buffer.baseAddress, buffer.count, bytes.baseAddress, bytes.count, Int32(level))
            guard ZSTD_isError(written) == 0 else {
                throw RunError("cannot compress: \(String(cString: ZSTD_getErrorName(written)))")
            }
            count = written
        }
    }

    /// Decompresses a buffer whose size once decompressed is known.
    ///
    /// - Throws: ``InputError`` where it is corrupt or of another size.
    public static func decompress(_ bytes: UnsafeRawBufferPointer, count expected: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: expected) { buffer, count in
            let written = ZSTD_decompress(buffer.baseAddress, buffer.count, bytes.baseAddress, bytes.count)
            guard ZSTD_isError(written) == 0, written == expected else {
                throw InputError("the compressed data is corrupt")
            }
            count = written
        }
    }
}
