/// The type in which products take their factors. Sums, the residual stream, norms, softmax and loss are f32 either way.
public enum Precision: String, Sendable, CaseIterable {
    /// 32-bit floats throughout.
    case f32
    /// Activations are kept in bf16, and both factors of a product are rounded to it where the processor multiplies so.
    case bf16

    /// How activations between two products are stored.
    public var activations: DType { self == .f32 ? .f32 : .bf16 }
}
