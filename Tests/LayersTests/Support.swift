import Layers
import Tensors

/// Weights drawn from each parameter's own path.
final class RandomWeights: ParameterSource {
    func tensor(_ path: String, shape: [Int]) -> Tensor { random(shape, path) }
}

/// Numbers from a normal distribution with a deviation of 0.3, the same for the same purpose.
func random(_ shape: [Int], _ purpose: String) -> Tensor {
    var generator = RandomGenerator(RandomKey(seed: 1, purpose: purpose))
    return Tensor((0..<shape.reduce(1, *)).map { _ in Float(0.3 * generator.normal()) }, shape: shape)
}

/// A block of 16 channels, four query heads and two key heads.
func makeBlock() throws -> DecoderLayer {
    let scope = ParameterScope(RandomWeights())
    let shape = Attention.Shape(hiddenSize: 16, heads: 4, keyValueHeads: 2, headDimension: 4)
    return DecoderLayer(
        attention: try Attention(scope["self_attn"], layer: 0, shape: shape, bias: true, outputBias: false),
        mlp: try GatedMLP(scope["mlp"], hiddenSize: 16, intermediateSize: 24, bias: false),
        inputNorm: try RMSNorm(scope["input_layernorm"], size: 16, epsilon: 1e-5),
        postAttentionNorm: try RMSNorm(scope["post_attention_layernorm"], size: 16, epsilon: 1e-5))
}

/// Runs a block on a batch.
func run(_ block: DecoderLayer, _ x: Tensor, _ context: ForwardContext) -> Tensor {
    block(x, RotaryEmbedding(headDimension: 4, theta: 100).angles(context.layout.positions), context)
}

/// A low-rank adapter with fixed factors.
final class TestAdapter: LinearAdapter {
    let a: Parameter
    let b: Parameter
    let dropout: Float

    init(_ name: String, rank: Int, layer: Linear, dropout: Float = 0) {
        a = Parameter(random([rank, layer.inputSize], name + ".a"), isTrainable: true)
        b = Parameter(random([layer.outputSize, rank], name + ".b"), isTrainable: true)
        self.dropout = dropout
    }

    var ownParameters: [(name: String, parameter: Parameter)] { [("a", a), ("b", b)] }

    func updates(_ context: ForwardContext) -> [LinearUpdate] {
        let mask = context.dropoutMask(dropout, module: "adapter")
        return [.lowRank(LowRankTerm(a: context.value(a), b: context.value(b), scale: 2, dropout: mask))]
    }

    func merged(into weight: Tensor) -> Tensor {
        let result = weight.copied()
        result.addInPlace(matrixProduct(b.value, a.value), factor: 2)
        return result
    }
}
