import CKernels

/// How a number is stored.
public enum DType: String, Sendable, CaseIterable {
    /// 32-bit IEEE 754.
    case f32
    /// The upper half of an f32: 8 bits of exponent, 7 of fraction.
    case bf16
    /// 16-bit IEEE 754; for reading and writing files, no op computes on it.
    case f16

    /// Bytes an element.
    public var size: Int { self == .f32 ? 4 : 2 }

    var code: Int32 {
        switch self {
        case .f32: Int32(GRAFT_F32.rawValue)
        case .bf16: Int32(GRAFT_BF16.rawValue)
        case .f16: Int32(GRAFT_F16.rawValue)
        }
    }
}
