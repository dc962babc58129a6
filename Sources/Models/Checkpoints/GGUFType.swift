/// How a GGUF file stores the elements of a tensor: blocks of some elements in some bytes.
///
/// All types are known by size, so that files holding them can be checked; those with a decoder can be read. Sizes and codes: ggml's
/// `ggml.h` and `ggml-common.h`.
struct GGUFType: Sendable {
    /// Writes `blocks` blocks as `Float`s.
    typealias Decoder =
        @Sendable (_ source: UnsafeRawPointer, _ blocks: Int, _ target: UnsafeMutablePointer<Float>) -> Void
    /// Writes `Float`s as `blocks` blocks.
    typealias Encoder =
        @Sendable (_ source: UnsafePointer<Float>, _ blocks: Int, _ target: UnsafeMutableRawPointer) -> Void

    /// The name people know, such as `Q4_1`.
    let name: String
    /// Elements in a block. Rows are whole blocks.
    let blockSize: Int
    /// Bytes in a block.
    let blockBytes: Int
    /// What reads it; nil where nothing here does.
    let decode: Decoder?
    /// What writes it; nil where nothing here does.
    let encode: Encoder?

    private init(
        _ name: String, _ blockSize: Int, _ blockBytes: Int, _ decode: Decoder? = nil, _ encode: Encoder? = nil
    ) {
        self.name = name
        self.blockSize = blockSize
        self.blockBytes = blockBytes
        self.decode = decode
        self.encode = encode
    }

    /// All types by the code in the file.
    static let known: [UInt32: GGUFType] = [
        0: GGUFType("F32", 1, 4, decodeF32, encodeF32),
        1: GGUFType("F16", 1, 2, decodeF16, encodeF16),
        2: GGUFType("Q4_0", 32, 18, decodeQ4_0, encodeQ4_0),
        3: GGUFType("Q4_1", 32, 20, decodeQ4_1, encodeQ4_1),
        6: GGUFType("Q5_0", 32, 22, decodeQ5_0, encodeQ5_0),
        7: GGUFType("Q5_1", 32, 24, decodeQ5_1, encodeQ5_1),
        8: GGUFType("Q8_0", 32, 34, decodeQ8_0, encodeQ8_0),
        9: GGUFType("Q8_1", 32, 36),
        10: GGUFType("Q2_K", 256, 84, decodeQ2_K),
        11: GGUFType("Q3_K", 256, 110, decodeQ3_K),
        12: GGUFType("Q4_K", 256, 144, decodeQ4_K, encodeQ4_K),
        13: GGUFType("Q5_K", 256, 176, decodeQ5_K),
        14: GGUFType("Q6_K", 256, 210, decodeQ6_K, encodeQ6_K),
        15: GGUFType("Q8_K", 256, 292),
        16: GGUFType("IQ2_XXS", 256, 66),
        17: GGUFType("IQ2_XS", 256, 74),
        18: GGUFType("IQ3_XXS", 256, 98),
        19: GGUFType("IQ1_S", 256, 50),
        20: GGUFType("IQ4_NL", 32, 18),
        21: GGUFType("IQ3_S", 256, 110),
        22: GGUFType("IQ2_S", 256, 82),
        23: GGUFType("IQ4_XS", 256, 136),
        24: GGUFType("I8", 1, 1),
        25: GGUFType("I16", 1, 2),
        26: GGUFType("I32", 1, 4),
        27: GGUFType("I64", 1, 8),
        28: GGUFType("F64", 1, 8, decodeF64),
        29: GGUFType("IQ1_M", 256, 56),
        30: GGUFType("BF16", 1, 2, decodeBF16, encodeBF16),
        34: GGUFType("TQ1_0", 256, 54),
        35: GGUFType("TQ2_0", 256, 66),
        39: GGUFType("MXFP4", 32, 17),
        40: GGUFType("NVFP4", 64, 36),
        41: GGUFType("Q1_0", 128, 18),
    ]

    /// The names of the types that can be read.
    static var readable: [String] {
        known.sorted { $0.key < $1.key }.filter { $0.value.decode != nil }.map(\.value.name)
    }
}
