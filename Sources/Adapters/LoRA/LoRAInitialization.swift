import Layers
import Tensors

/// How the pair of one layer starts. It depends on the seed, the layer's own path and its weight only: what else is adapted makes no
/// difference.
struct LoRAStart {
    let initialization: LoRAConfiguration.Initialization
    let path: String
    let rank: Int
    let seed: UInt64

    /// `A [r, in]` and `B [out, r]` of a linear layer with this weight.
    func pair(_ weight: Tensor, scale: Float) -> (a: Tensor, b: Tensor) {
        let (shapeA, shapeB) = ([rank, weight.columns], [weight.rows, rank])
        switch initialization {
        case .kaiming: return (uniform(shapeA, "lora_A"), .zeros(shapeB))
        case .gaussian: return (normal(shapeA, "lora_A", deviation: 1 / Double(rank)), .zeros(shapeB))
        case .random: return (uniform(shapeA, "lora_A"), uniform(shapeB, "lora_B"))
        case .pissa(let rounds): return principal(ColumnMatrix(weight.converted(to: .f32)), rounds, scale)
        case .olora:
            // R's first rows are those of Qᵀ W; later columns change nothing in Q's first.
            let matrix = ColumnMatrix(weight.converted(to: .f32))
            let q = matrix.firstColumns(rank).thinQR().q
            return (matrix.transposed.times(q).transposedTensor, q.tensor)
        }
    }

    /// `A [r, vocabulary]` and `B [C, r]` of an embedding: A is zero, as B is elsewhere.
    func embeddingPair(vocabulary: Int, size: Int) -> (a: Tensor, b: Tensor) {
        let b = normal([size, rank], "lora_embedding_B", deviation: 1)
        let isZero = initialization != .random
        let shape = [rank, vocabulary]
        return (isZero ? .zeros(shape) : normal(shape, "lora_embedding_A", deviation: 1), b)
    }

    /// `scale · B A` is the best approximation of W of this rank: B = U √(Σ / scale), A = √(Σ / scale) Vᵀ.
    private func principal(_ matrix: ColumnMatrix, _ rounds: Int?, _ scale: Float) -> (a: Tensor, b: Tensor) {
        let (left, values, right) = rounds.map { subspace(matrix, rounds: $0) } ?? exact(matrix)
        let roots = values.map { ($0 / Double(scale)).squareRoot() }
        return (right.scalingColumns(by: roots).transposedTensor, left.scalingColumns(by: roots).tensor)
    }

    private func exact(_ matrix: ColumnMatrix) -> (left: ColumnMatrix, values: [Double], right: ColumnMatrix) {
        let found = SingularValues(of: matrix, rank: rank)
        return (found.left, found.values, found.right)
    }

    /// Halko, Martinsson and Tropp, "Finding structure with randomness", arXiv:0909.4061, algorithm 4.4, without oversampling: what
    /// PyTorch's `svd_lowrank` does for PEFT.
    private func subspace(
        _ matrix: ColumnMatrix, rounds: Int
    ) -> (left: ColumnMatrix, values: [Double], right: ColumnMatrix) {
        let turned = matrix.transposed
        let random = ColumnMatrix(normal([matrix.columns, rank], "pissa", deviation: 1))
        var basis = matrix.times(random).thinQR().q
        for _ in 0..<rounds {
            basis = turned.times(basis).thinQR().q
            basis = matrix.times(basis).thinQR().q
        }
        // W ≈ Q (Wᵀ Q)ᵀ, and Wᵀ Q = L Σ Rᵀ.
        let inside = SingularValues(of: turned.times(basis), rank: rank)
        return (basis.times(inside.right), inside.values, inside.left)
    }

    private func filled(_ shape: [Int], _ name: String, _ draw: (inout RandomGenerator) -> Double) -> Tensor {
        var generator = RandomGenerator(RandomKey(seed: seed, purpose: "\(path).\(name)"))
        return Tensor((0..<shape[0] * shape[1]).map { _ in Float(draw(&generator)) }, shape: shape)
    }

    private func normal(_ shape: [Int], _ name: String, deviation: Double) -> Tensor {
        filled(shape, name) { $0.normal() * deviation }
    }

    /// PyTorch's kaiming_uniform with a = √5 is uniform in ±1/√(inputs of the matrix).
    private func uniform(_ shape: [Int], _ name: String) -> Tensor {
        let bound = 1 / Double(shape[1]).squareRoot()
        return filled(shape, name) { (2 * $0.uniform() - 1) * bound }
    }
}
