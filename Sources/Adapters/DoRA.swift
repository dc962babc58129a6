import Layers
import Tensors

/// Weight-decomposed low-rank adaptation of one linear layer: `y = m / ‖W + s B A‖ · (x Wᵀ + s x Aᵀ Bᵀ) + bias`.
///
/// The norm is that of each row of the sum, an output's weights; no gradient goes through it. m starts as the norm. Dropout is PEFT's:
/// with d = dropout(x) it is `x Wᵀ + bias + (m / ‖…‖ - 1) · d Wᵀ + m / ‖…‖ · s d Aᵀ Bᵀ`.
///
/// Source: Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", arXiv:2402.09353, section 4.3 for the norm.
public final class DoRAAdapter: LinearAdapter {
    /// A and B.
    public let lora: LoRAAdapter
    /// m `[out]`.
    public let magnitude: Parameter
    private let base: Parameter
    private var squares: (weight: Tensor, values: Tensor)?
    private var frozen: (parts: [Tensor], factor: Tensor)?

    init(_ lora: LoRAAdapter, base: Parameter) {
        self.lora = lora
        self.base = base
        let squares = base.value.squaredRowNorms
        self.squares = (base.value, squares)
        magnitude = Parameter(rowNorms(of: base.value, squares: squares, plus: lora.term))
    }

    /// A, B and m.
    public var ownParameters: [(name: String, parameter: Parameter)] {
        lora.ownParameters + [("lora_magnitude_vector", magnitude)]
    }

    /// The low-rank term, and `m / ‖W + s B A‖` after it.
    public func updates(_ context: ForwardContext) -> [LinearUpdate] {
        [.lowRankScaled(lora.term(context), by: factor(context))]
    }

    /// The bias trained beside them, if any.
    public var ownBias: Parameter? { lora.ownBias }

    /// `m / ‖W + s B A‖ · (W + s B A)`, in f32 whatever W is stored as. The norm is of the base weight, whatever was merged before.
    public func merged(into weight: Tensor) -> Tensor {
        lora.merged(into: weight).scaledRows(by: magnitude.value.scaledColumns(by: inverseNorms()))
    }

    /// `m / ‖W + s B A‖`, kept where nothing in it is trained.
    private func factor(_ context: ForwardContext) -> Tensor {
        let parameters = [base, lora.a, lora.b, magnitude]
        let isFrozen = !parameters.contains { $0.isTrainable }
        let parts = parameters.map(\.value)
        if isFrozen, let frozen, zip(frozen.parts, parts).allSatisfy({ $0.isSameMemory(as: $1) }) {
            return frozen.factor
        }
        let factor = context.value(magnitude).scalingColumns(by: inverseNorms())
        frozen = isFrozen ? (parts, factor) : nil
        return factor
    }

    /// `1 / ‖W + s B A‖`, and 0 for a row of zeros, which no factor changes.
    private func inverseNorms() -> Tensor {
        let weight = base.value
        if base.isTrainable || squares?.weight.isSameMemory(as: weight) != true { squares = nil }
        let known = squares ?? (weight, weight.squaredRowNorms)
        squares = known
        let norms = rowNorms(of: weight, squares: known.values, plus: lora.term)
        return Tensor(norms.values.map { $0 > 0 ? 1 / $0 : 0 }, shape: norms.shape, device: weight.device)
    }
}
