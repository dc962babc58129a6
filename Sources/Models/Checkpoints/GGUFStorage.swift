/// The types in which GGUF files are written.
public enum GGUFStorage: String, CaseIterable, Sendable {
    /// 32-bit floats.
    case f32
    /// 16-bit floats.
    case f16
    /// bfloat16.
    case bf16
    /// Blocks of 32 with a 16-bit scale: 8 bits an element, 8.5 with the scale.
    case q8_0
    /// Blocks of 32 with a scale: 4.5 bits an element.
    case q4_0
    /// Blocks of 32 with a scale and a minimum: 5 bits an element.
    case q4_1

    /// ggml's code of the type (`ggml_type`).
    var code: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q8_0: 8
        case .bf16: 30
        }
    }

    /// llama.cpp's code of a file that is mostly of this type (`llama_ftype`).
    var fileType: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q8_0: 7
        case .bf16: 32
        }
    }

    /// Whether elements are kept as codes of blocks, so that the numbers read back are others.
    public var isQuantized: Bool {
        switch self {
        case .f32, .f16, .bf16: false
        case .q8_0, .q4_0, .q4_1: true
        }
    }

    /// The type for rows of a length: f16 where they are no whole blocks, as in llama.cpp.
    func fitting(columns: Int) -> GGUFStorage { isQuantized && !columns.isMultiple(of: 32) ? .f16 : self }
}
