import Tensors

/// Applies an affine map: `y = x Wᵀ + b`, plus what the active adapters add to it.
///
/// The weight stays under its own key whatever is attached: an adapter is in a slot, not in a subclass, so adapters and the storage
/// of the weight never multiply.
public final class Linear: AdaptableModule {
    /// `[out, in]`.
    public private(set) var weight: Parameter
    /// `[out]`, or nil.
    public let bias: Parameter?
    /// What adapters add.
    public var slot = AdapterSlot<any LinearAdapter>()

    /// A layer over existing parameters, such as a head tied to the embedding.
    public init(weight: Parameter, bias: Parameter? = nil) {
        precondition(
            weight.value.shape.count == 2 && (bias.map { $0.value.shape == [weight.value.rows] } ?? true),
            "a weight of shape \(weight.value.shape) with a bias of \(bias?.value.shape ?? [])")
        self.weight = weight
        self.bias = bias
    }

    /// A layer with the parameters `weight` and, where asked, `bias` of a scope.
    public convenience init(_ scope: ParameterScope, in inputs: Int, out outputs: Int, bias: Bool = false) throws {
        self.init(
            weight: try scope.parameter("weight", shape: [outputs, inputs]),
            bias: bias ? try scope.parameter("bias", shape: [outputs]) : nil)
    }

    /// The size of an input row.
    public var inputSize: Int { weight.value.columns }
    /// The size of an output row.
    public var outputSize: Int { weight.value.rows }

    /// The layer's own parameters.
    public var ownParameters: [(name: String, parameter: Parameter)] {
        [("weight", weight)] + (bias.map { [("bias", $0)] } ?? [])
    }

    /// The adapters.
    public var children: [(name: String, module: any Module)] { slot.children }

    /// Gives the layer a weight of its own, equal to the one it shared until now with another module.
    public func untie() { weight = Parameter(weight.value, isTrainable: weight.isTrainable) }

    /// The weight that a context's adapters work on: the layer's, or the one that the last of them has of its own.
    func activeWeight(_ context: ForwardContext) -> Tensor {
        context.value(slot.active(context).reversed().lazy.compactMap(\.ownWeight).first ?? weight)
    }

    /// The bias, likewise; nil where the layer has none.
    func activeBias(_ context: ForwardContext) -> Tensor? {
        bias.map { context.value(slot.active(context).reversed().lazy.compactMap(\.ownBias).first ?? $0) }
    }

    /// What the layer does to rows of a batch as a head, whose rows are taken a few at a time: one product where its adapters are low-rank
    /// terms.
    ///
    /// - Parameters:
    ///   - context: of the forward pass.
    ///   - rows: where the rows lie in the batch.
    /// - Returns: the map of these rows.
    public func head(_ context: ForwardContext, rows: [Int32]) -> HeadProjection {
        var terms: [LowRankTerm] = []
        for update in updates(context) {
            guard case .lowRank(let term) = update else {
                return .composed(composed(context.with(tape: nil), rows: rows, tape: isTrained ? context.tape : nil))
            }
            terms.append(term)
        }
        let operands = LinearOperands(
            weight: activeWeight(context), bias: activeBias(context), lowRank: terms, precision: context.precision)
        return .product(operands.selecting(rows: rows))
    }

    private func composed(_ context: ForwardContext, rows: [Int32], tape: Tape?) -> ComposedHead {
        ComposedHead(vocabulary: outputSize, rows: rows, tape: tape) { x, rows, tape in
            let context = context.with(tape: tape)
            let updates = self.updates(context).map { $0.selecting(rows: rows) }
            return self.composed(updates[...], x, bias: self.activeBias(context), context)
        }
    }

    /// `[T, in]` to `[T, out]`.
    public func callAsFunction(_ x: Tensor, _ context: ForwardContext) -> Tensor {
        project(x, through: [self], as: [.f32], context)[0]
    }

    /// `[T, in]` to `[T, out]`, plus `residual` where there is one.
    public func callAsFunction(_ x: Tensor, addedTo residual: Tensor?, _ context: ForwardContext) -> Tensor {
        project(x, through: [self], as: [.f32], addend: residual, context)[0]
    }
}
