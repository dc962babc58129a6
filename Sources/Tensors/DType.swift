import CKernels

/// How a number is stored.
public enum DType: String, Sendable, CaseIterable {
    /// 32-bit IEEE 754.
    case f32
    /// The upper half of an f32: 8 bits of exponent, 7 of fraction.
    case bf16
    /// 16-bit IEEE 754; for reading and writing files, no op computes on it.
    case f16
    /// Whole numbers from −127 to 127 with an f32 scale a row, absmax / 127; for frozen matrices.
    case int8
    /// NF4 as bitsandbytes has it (Dettmers et al. 2023): four bits, an f32 absmax for each 64; for frozen matrices.
    case nf4
    /// The same with double quantisation: the absmax in 8 bits, an f32 scale for each 256 of them.
    case nf4DoubleQuant = "nf4_double_quant"

    /// Whether matrices are codes with scales beside them: 8 bits an element or fewer.
    public var isQuantized: Bool {
        switch self {
        case .f32, .bf16, .f16: false
        case .int8, .nf4, .nf4DoubleQuant: true
        }
    }

    /// Bytes an element of a type that is not quantised.
    public var size: Int {
        precondition(!isQuantized, "an element of a \(self) tensor has no bytes of its own")
        return self == .f32 ? 4 : 2
    }

    /// The bytes of a tensor, its scales included.
    public func byteCount(of shape: [Int]) -> Int {
        isQuantized ? QuantizedLayout(shape, self).byteCount : shape.reduce(size, *)
    }

    var code: Int32 {
        switch self {
        case .f32: Int32(GRAFT_F32.rawValue)
        case .bf16: Int32(GRAFT_BF16.rawValue)
        case .f16: Int32(GRAFT_F16.rawValue)
        case .int8: Int32(GRAFT_INT8.rawValue)
        case .nf4, .nf4DoubleQuant: Int32(GRAFT_NF4.rawValue)
        }
    }
}
