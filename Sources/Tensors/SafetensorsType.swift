/// How a safetensors file stores the elements of a tensor; the raw value is the name in the header.
///
/// All types of the format are known, so that sizes can be checked; only F64, F32, F16 and BF16 can be read as numbers.
public enum SafetensorsType: String, Sendable, CaseIterable {
    case f64 = "F64"
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case i64 = "I64"
    case i32 = "I32"
    case i16 = "I16"
    case i8 = "I8"
    case u64 = "U64"
    case u32 = "U32"
    case u16 = "U16"
    case u8 = "U8"
    case bool = "BOOL"
    case c64 = "C64"
    case f8e4m3 = "F8_E4M3"
    case f8e5m2 = "F8_E5M2"
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    case f8e8m0 = "F8_E8M0"
    case f6e2m3 = "F6_E2M3"
    case f6e3m2 = "F6_E3M2"
    case f4 = "F4"

    /// Bits an element takes.
    public var bits: Int {
        switch self {
        case .f64, .i64, .u64, .c64: 64
        case .f32, .i32, .u32: 32
        case .f16, .bf16, .i16, .u16: 16
        case .i8, .u8, .bool, .f8e4m3, .f8e5m2, .f8e4m3fnuz, .f8e5m2fnuz, .f8e8m0: 8
        case .f6e2m3, .f6e3m2: 6
        case .f4: 4
        }
    }

    /// The bytes a tensor of this shape takes; nil where that overflows or is no whole number of bytes.
    public func byteCount(of shape: [Int]) -> Int? {
        var total = bits
        // An empty tensor is empty however large its other dimensions are.
        if shape.contains(0) { return 0 }
        for size in shape {
            let (product, overflow) = total.multipliedReportingOverflow(by: size)
            guard size > 0, !overflow else { return nil }
            total = product
        }
        return total.isMultiple(of: 8) ? total / 8 : nil
    }
}
