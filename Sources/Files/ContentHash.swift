import CXXHash

/// A 128-bit hash (XXH3) of bytes fed in pieces: finds corruption and changed input, is no defence against an attacker.
public final class ContentHash {
    private let state: OpaquePointer

    /// Starts an empty hash.
    public init() {
        guard let state = XXH3_createState() else { preconditionFailure("out of memory") }
        self.state = state
        XXH3_128bits_reset(state)
    }

    deinit { XXH3_freeState(state) }

    /// Adds bytes.
    public func add(_ bytes: UnsafeRawBufferPointer) { XXH3_128bits_update(state, bytes.baseAddress, bytes.count) }

    /// Adds the UTF-8 of a text, and its length so that two texts in a row are not one.
    public func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
        withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian) { add($0) }
    }

    /// The hash so far, as 32 hexadecimal digits.
    public var hexadecimal: String {
        let digest = XXH3_128bits_digest(state)
        func hex(_ word: UInt64) -> String {
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return hex(digest.high64) + hex(digest.low64)
    }

    /// The hash of a file's bytes.
    public static func ofFile(_ path: String) throws -> String {
        let hash = ContentHash()
        try MappedFile(path).withBytes { hash.add($0) }
        return hash.hexadecimal
    }
}
