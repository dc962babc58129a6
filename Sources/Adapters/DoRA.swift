import Files
import Layers
import Tensors

/// Weight-decomposed low-rank adaptation of one linear layer: `y = m / ‖W + s B A‖ · (x Wᵀ + s x Aᵀ Bᵀ) + bias`.
///
/// The norm is that of each row of the sum, an output's weights; no gradient goes through it. m starts as the norm. Dropout is PEFT's:
/// with d = dropout(x) it is `x Wᵀ + bias + (m / ‖…‖ - 1) · d Wᵀ + m / ‖…‖ · s d Aᵀ Bᵀ`. Where A and B start from a decomposition of W,
/// W is what is left of it beside the start, as in PEFT.
///
/// Source: Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", arXiv:2402.09353, section 4.3 for the norm.
public final class DoRAAdapter: LinearAdapter, KeepsBaseWeight {
    /// A and B.
    public let lora: LoRAAdapter
    /// m `[out]`.
    public var magnitude: Parameter { direction.magnitude }
    private let direction: Direction
    private unowned let layer: Linear

    init(_ lora: LoRAAdapter, on layer: Linear) {
        self.lora = lora
        self.layer = layer
        direction = Direction(of: layer.weight, plus: lora.term, isOfColumns: false)
    }

    /// A, B and m.
    public var ownParameters: [(name: String, parameter: Parameter)] {
        lora.ownParameters + [(Direction.name, magnitude)]
    }

    /// A, B and m, and the weight that the file holds.
    public var savedTensors: [(name: String, value: Tensor)] {
        lora.savedPair + [(Direction.name, magnitude.value)] + savedBase
    }

    /// The weight that the adapter's file holds instead of the base's.
    public var ownWeight: Parameter? {
        get { lora.ownWeight }
        set { lora.ownWeight = newValue }
    }

    /// The low-rank term, and `m / ‖W + s B A‖` after it.
    public func updates(_ context: ForwardContext) -> [LinearUpdate] {
        let factor = direction.factor(context, base, trained: [lora.a, lora.b]) { self.lora.term }
        return [.lowRankScaled(lora.term(context), beside: lora.startTerm, by: factor)]
    }

    /// The bias trained beside them, if any.
    public var ownBias: Parameter? { lora.ownBias }

    /// `m / ‖W + s B A‖ · (W + s B A)`, in f32 whatever W is stored as. The norm is of the base weight, whatever was merged before.
    public func merged(into weight: Tensor) -> Tensor {
        lora.merged(into: weight).scaledRows(by: direction.factor(base, lora.term))
    }

    private var base: Parameter { ownWeight ?? layer.weight }
}

/// The same on a table of tokens: `y[t] = m / ‖W + s Aᵀ Bᵀ‖ · (W[t] + s A[:, t]ᵀ Bᵀ)`, the norm that of each column, a channel's numbers
/// over the vocabulary.
public final class DoRAEmbedding: EmbeddingAdapter, KeepsBaseWeight {
    /// A and B.
    public let lora: LoRAEmbedding
    /// m `[C]`.
    public var magnitude: Parameter { direction.magnitude }
    private let direction: Direction
    private unowned let table: Embedding

    init(_ lora: LoRAEmbedding, on table: Embedding) {
        self.lora = lora
        self.table = table
        direction = Direction(of: table.weight, plus: lora.term, isOfColumns: true)
    }

    /// A, B and m.
    public var ownParameters: [(name: String, parameter: Parameter)] {
        lora.ownParameters + [(Direction.name, magnitude)]
    }

    /// A, B and m, and the table that the file holds.
    public var savedTensors: [(name: String, value: Tensor)] {
        ownParameters.map { ($0.name, $0.parameter.value) } + savedBase
    }

    /// The table that the adapter's file holds instead of the base's.
    public var ownWeight: Parameter? {
        get { lora.ownWeight }
        set { lora.ownWeight = newValue }
    }

    /// The rows with the pair's, times `m / ‖W + s Aᵀ Bᵀ‖`.
    public func adapted(_ rows: Tensor, of tokens: [Int32], _ context: ForwardContext) -> Tensor {
        let factor = direction.factor(context, base, trained: [lora.a, lora.b]) { self.lora.term }
        return lora.adapted(rows, of: tokens, context).scalingColumns(by: factor)
    }

    /// `(W + s Aᵀ Bᵀ) · m / ‖W + s Aᵀ Bᵀ‖`, in f32 whatever W is stored as.
    public func merged(into weight: Tensor) -> Tensor {
        lora.merged(into: weight).scaledColumns(by: direction.factor(base, lora.term))
    }

    private var base: Parameter { ownWeight ?? table.weight }
}

/// A magnitude m, and what it is divided by: the norms of `W + s B A`.
private final class Direction {
    /// m, one an output.
    let magnitude: Parameter
    /// Whether W is a table, whose outputs are its columns.
    private let isOfColumns: Bool
    private var squares: (weight: Tensor, values: Tensor)?
    private var frozen: (parts: [Tensor], factor: Tensor)?

    /// PEFT's name of m.
    static let name = "lora_magnitude_vector"

    init(of base: Parameter, plus term: LowRankTerm, isOfColumns: Bool) {
        self.isOfColumns = isOfColumns
        let squares = isOfColumns ? base.value.squaredColumnNorms : base.value.squaredRowNorms
        self.squares = (base.value, squares)
        magnitude = Parameter(rowNorms(of: base.value, isTransposed: isOfColumns, squares: squares, plus: term))
    }

    /// `m / ‖W + s B A‖` on the context's tape, kept where nothing in it is trained.
    func factor(
        _ context: ForwardContext, _ base: Parameter, trained: [Parameter], _ term: () -> LowRankTerm
    ) -> Tensor {
        let parameters = [base, magnitude] + trained
        let isFrozen = !parameters.contains { $0.isTrainable }
        let parts = parameters.map(\.value)
        if isFrozen, let frozen, zip(frozen.parts, parts).allSatisfy({ $0.isSameMemory(as: $1) }) {
            return frozen.factor
        }
        let factor = context.value(magnitude).scalingColumns(by: inverseNorms(base, term()))
        frozen = isFrozen ? (parts, factor) : nil
        return factor
    }

    /// The same off the tape.
    func factor(_ base: Parameter, _ term: LowRankTerm) -> Tensor {
        magnitude.value.scaledColumns(by: inverseNorms(base, term))
    }

    /// `1 / ‖W + s B A‖`, and 0 for an output of zeros, which no factor changes.
    private func inverseNorms(_ base: Parameter, _ term: LowRankTerm) -> Tensor {
        let weight = base.value
        if base.isTrainable || squares?.weight.isSameMemory(as: weight) != true { squares = nil }
        let known = squares ?? (weight, isOfColumns ? weight.squaredColumnNorms : weight.squaredRowNorms)
        squares = known
        let norms = rowNorms(of: weight, isTransposed: isOfColumns, squares: known.values, plus: term)
        return Tensor(norms.values.map { $0 > 0 ? 1 / $0 : 0 }, shape: norms.shape, device: weight.device)
    }
}
