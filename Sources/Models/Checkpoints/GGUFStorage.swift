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
    /// Blocks of 256 with scales for each 16: 6.5625 bits an element.
    case q6_k
    /// Blocks of 32 with a scale and a minimum: 6 bits an element.
    case q5_1
    /// Blocks of 32 with a scale: 5.5 bits an element.
    case q5_0
    /// Blocks of 256 with scales and minima for each 32: 4.5 bits an element.
    case q4_k
    /// Blocks of 32 with a scale and a minimum: 5 bits an element.
    case q4_1
    /// Blocks of 32 with a scale: 4.5 bits an element.
    case q4_0

    /// ggml's code of the type (`ggml_type`).
    var code: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q5_0: 6
        case .q5_1: 7
        case .q8_0: 8
        case .q4_k: 12
        case .q6_k: 14
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
        case .q5_0: 8
        case .q5_1: 9
        case .q4_k: 14  // "small": none of its matrices is in more bits, but for the head.
        case .q6_k: 18
        case .bf16: 32
        }
    }

    /// Whether elements are kept as codes of blocks, so that the numbers read back are others.
    public var isQuantized: Bool {
        switch self {
        case .f32, .f16, .bf16: false
        case .q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .q4_k, .q6_k: true
        }
    }

    /// The type for rows of a length: where they are no whole blocks of a K type one with blocks of 32, where they are none of these f16, as
    /// in llama.cpp.
    func fitting(columns: Int) -> GGUFStorage {
        switch self {
        case .q4_k where !columns.isMultiple(of: 256): GGUFStorage.q5_0.fitting(columns: columns)
        case .q6_k where !columns.isMultiple(of: 256): GGUFStorage.q8_0.fitting(columns: columns)
        default: isQuantized && !columns.isMultiple(of: 32) ? .f16 : self
        }
    }

    /// The type of the head, and of an embedding that is the head. In files with fewer than 8 bits it has six, as in llama.cpp: its errors
    /// are those of every token.
    var ofHead: GGUFStorage { isQuantized && self != .q8_0 ? .q6_k : self }
}
