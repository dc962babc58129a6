import Layers
import Tensors

/// LoRA+: B learns faster than A, in the groups of PEFT's `create_loraplus_optimizer`.
///
/// Of the rate η of a step, B and every vector (magnitudes, biases) learn at `ratio · η`, the adapter of an embedding at
/// `embeddingShare · η`, all else at η. Weight decay leaves biases alone and nothing else.
///
/// Source: Hayou et al., "LoRA+: Efficient Low Rank Adaptation of Large Models", arXiv:2402.12354.
public struct LoRAPlus: Hashable, Sendable {
    /// How much faster B learns than A.
    public var ratio: Double
    /// How much faster the adapter of an embedding learns than A.
    public var embeddingShare: Double

    /// Makes a rule.
    ///
    /// - Parameters:
    ///   - ratio: the rate of B over that of A.
    ///   - embeddingShare: the rate of an embedding's adapter over that of A.
    public init(ratio: Double, embeddingShare: Double) {
        self.ratio = ratio
        self.embeddingShare = embeddingShare
    }

    /// What a step's rate is multiplied with for a parameter.
    func factor(_ path: String, _ parameter: Parameter) -> Double {
        if path.contains("lora_embedding_") { return embeddingShare }
        return path.contains("lora_B") || parameter.value.shape.count == 1 ? ratio : 1
    }
}
