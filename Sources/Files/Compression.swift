import CZstd

/// Zstandard compression of whole buffers: what a `.zst` file holds. ``ByteSource`` reads it back as a stream.
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
}
