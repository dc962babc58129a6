import Layers
import Tensors

/// The low-rank pair of an embedding: `y[t] += scale · B A[:, token[t]]`, with `A [r, vocabulary]` and `B [C, r]`.
public final class LoRAEmbedding: EmbeddingAdapter, KeepsBaseWeight {
    /// `[r, vocabulary]`.
    public let a: Parameter
    /// `[C, r]`.
    public let b: Parameter
    /// What `B A` is multiplied by.
    public let scale: Float
    /// The table that the adapter's file holds instead of the base's.
    public var ownWeight: Parameter?

    init(a: Tensor, b: Tensor, scale: Float) {
        self.a = Parameter(a)
        self.b = Parameter(b)
        self.scale = scale
    }

    /// A and B.
    public var ownParameters: [(name: String, parameter: Parameter)] {
        [("lora_embedding_A", a), ("lora_embedding_B", b)]
    }

    /// A and B.
    public var savedTensors: [(name: String, value: Tensor)] {
        [("lora_embedding_A", a.value), ("lora_embedding_B", b.value)] + savedBase
    }

    /// What it adds to the table, transposed: `scale · B A`.
    var term: LowRankTerm { LowRankTerm(a: a.value, b: b.value, scale: scale) }

    /// The rows plus those of `scale · Aᵀ Bᵀ`.
    public func adapted(_ rows: Tensor, of tokens: [Int32], _ context: ForwardContext) -> Tensor {
        let hidden = gatherRows(context.value(a).transposed, tokens, as: context.activations)
        let second = LinearOperands(weight: context.value(b), precision: context.precision)
        return rows + second(hidden, isDecoding: context.isDecoding).scaled(by: scale)
    }

    /// `W + scale · Aᵀ Bᵀ`, in f32 whatever W is stored as.
    public func merged(into weight: Tensor) -> Tensor {
        let result = weight.dtype == .f32 ? weight.copied() : weight.converted(to: .f32)
        result.addInPlace(matrixProduct(a.value.transposed, b.value.transposed), factor: scale)
        return result
    }
}

/// The pair of an embedding on the head that shares its weight: `ensure_weight_tying`.
final class TiedLoRAHead: LinearAdapter, KeepsBaseWeight, FollowsEmbedding {
    private let embedding: LoRAEmbedding
    private let dropout: Float
    private let path: String
    var ownWeight: Parameter?

    init(_ embedding: LoRAEmbedding, dropout: Float, path: String) {
        self.embedding = embedding
        self.dropout = dropout
        self.path = path
    }

    /// The head's A is the embedding's Bᵀ, and its B the embedding's Aᵀ.
    var savedTensors: [(name: String, value: Tensor)] {
        [("lora_A.weight", embedding.b.value.transposed), ("lora_B.weight", embedding.a.value.transposed)] + savedBase
    }

    func updates(_ context: ForwardContext) -> [LinearUpdate] {
        let mask = context.dropoutMask(dropout, module: "\(path).lora_dropout")
        return [
            .lowRank(
                LowRankTerm(
                    a: context.value(embedding.b).transposed, b: context.value(embedding.a).transposed,
                    scale: embedding.scale, dropout: mask))
        ]
    }

    func merged(into weight: Tensor) -> Tensor { embedding.merged(into: weight) }
}

/// An adapter of a head that does what one of the embedding does: the weight that they share can take both at once.
protocol FollowsEmbedding: Adapter {}
