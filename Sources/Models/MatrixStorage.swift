import Tensors

/// How the matrices of a model are kept in memory.
struct MatrixStorage {
    /// Of the linear layers.
    let weights: DType
    /// How products are computed.
    let precision: Precision
    /// Whether a matrix is trained, which only f32 can be.
    let isTrained: (_ path: String) throws -> Bool

    /// Whether a matrix is quantised where linear layers are: all but embeddings and heads.
    static func isQuantized(_ path: String) -> Bool {
        !path.hasPrefix("model.embed_tokens.") && !path.hasPrefix("lm_head.") && path != ModelTask.scoreName
    }

    /// How one is kept. Embeddings and head are not quantised: they stay in the type of the products, and in bf16 where they come in it. A score head is a few
    /// numbers, and stays in f32.
    func type(of path: String, storedAs source: String) throws -> DType {
        if try path == ModelTask.scoreName || isTrained(path) { return .f32 }
        guard weights.isQuantized, !Self.isQuantized(path) else { return weights }
        return precision == .bf16 || source == "BF16" ? .bf16 : .f32
    }
}

/// What quantising the layers of a kind lost.
public struct QuantizationError: Sendable {
    /// Their name in a block: `q_proj`.
    public var kind: String
    /// `√(Σ (stored − w)² / Σ w²)` over all of them.
    public var relative: Double
}
