import Layers
import Tensors

/// The low-rank pair of one linear layer: `y += scale · dropout(x) Aᵀ Bᵀ`.
///
/// Where A and B start from a decomposition of the weight, what they start as is taken off again: `y -= scale · x A₀ᵀ B₀ᵀ`. PEFT takes
/// it off the weight instead, which is the same numbers; here the base stays what it is on disk, whatever it is stored as, and the
/// adapter is saved as a plain one of twice the rank that fits it.
public final class LoRAAdapter: LinearAdapter, KeepsBaseWeight {
    /// `[r, in]`.
    public let a: Parameter
    /// `[out, r]`.
    public let b: Parameter
    /// What `B A` is multiplied by.
    public let scale: Float
    /// A₀ and B₀; nil where B starts at zero.
    public let start: (a: Tensor, b: Tensor)?
    /// The layer's bias, trained beside the pair.
    public let ownBias: Parameter?
    /// The weight that the adapter's file holds instead of the base's.
    public var ownWeight: Parameter?
    private let dropout: Float
    private let path: String

    init(
        a: Tensor, b: Tensor, start: (a: Tensor, b: Tensor)? = nil, bias: Tensor? = nil, scale: Float, dropout: Float,
        path: String
    ) {
        self.a = Parameter(a)
        self.b = Parameter(b)
        self.start = start
        ownBias = bias.map { Parameter($0) }
        self.scale = scale
        self.dropout = dropout
        self.path = path
    }

    /// A, B and the bias.
    public var ownParameters: [(name: String, parameter: Parameter)] {
        [("lora_A.weight", a), ("lora_B.weight", b)] + (ownBias.map { [("base_layer.bias", $0)] } ?? [])
    }

    /// A, B and the bias; with a start, `[A; A₀]` and `[B, -B₀]`.
    public var savedTensors: [(name: String, value: Tensor)] {
        savedPair + savedBase
    }

    /// A, B and the bias, without the layer's weight.
    var savedPair: [(name: String, value: Tensor)] {
        let pair = pair
        return [("lora_A.weight", pair.a), ("lora_B.weight", pair.b)]
            + (ownBias.map { [("base_layer.bias", $0.value)] } ?? [])
    }

    /// A and B; with a start, `[A; A₀]` and `[B, -B₀]`.
    private var pair: (a: Tensor, b: Tensor) {
        guard let start else { return (a.value, b.value) }
        return (
            a.value.stacked(on: start.a),
            b.value.transposed.stacked(on: start.b.scaled(by: -1).transposed).transposed
        )
    }

    /// The pair, and what it started as.
    public func updates(_ context: ForwardContext) -> [LinearUpdate] {
        [.lowRank(term(context))] + (startTerm.map { [.lowRank($0)] } ?? [])
    }

    func term(_ context: ForwardContext) -> LowRankTerm {
        LowRankTerm(
            a: context.value(a), b: context.value(b), scale: scale,
            dropout: context.dropoutMask(dropout, module: "\(path).lora_dropout"))
    }

    /// What the adapter is in all, off any tape and without dropout.
    var term: LowRankTerm {
        let pair = pair
        return LowRankTerm(a: pair.a, b: pair.b, scale: scale)
    }

    /// What takes the start off again.
    var startTerm: LowRankTerm? { start.map { LowRankTerm(a: $0.a, b: $0.b, scale: -scale) } }

    /// `W + scale · (B A - B₀ A₀)`, in f32 whatever W is stored as.
    public func merged(into weight: Tensor) -> Tensor {
        let result = weight.dtype == .f32 ? weight.copied() : weight.converted(to: .f32)
        result.addInPlace(matrixProduct(b.value, a.value), factor: scale)
        if let start { result.addInPlace(matrixProduct(start.b, start.a), factor: -scale) }
        return result
    }
}

/// An adapter whose file may hold the weight of the layer that it is on, as PEFT writes it for embeddings and heads.
protocol KeepsBaseWeight: Adapter {
    /// The file's weight; nil where it is the base's.
    var ownWeight: Parameter? { get set }
}

extension KeepsBaseWeight {
    /// The weight under PEFT's name.
    var savedBase: [(name: String, value: Tensor)] { ownWeight.map { [(baseWeightName, $0.value)] } ?? [] }
}

/// PEFT's name for the weight below an adapter.
let baseWeightName = "base_layer.weight"

extension Tensor {
    /// This f32 matrix above another of as many columns.
    fileprivate func stacked(on other: Tensor) -> Tensor {
        Tensor(values + other.values, shape: [rows + other.rows, columns])
    }
}
