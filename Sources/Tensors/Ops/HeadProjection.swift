/// What projects hidden rows to the vocabulary.
public enum HeadProjection {
    /// A product with low-rank terms: its gradients are computed in the pass that scores, where the coefficients are known.
    case product(LinearOperands)
    /// Any map. It is run again for its gradients.
    case composed(ComposedHead)

    /// The number of tokens.
    var vocabulary: Int {
        switch self {
        case .product(let operands): operands.weight.rows
        case .composed(let head): head.vocabulary
        }
    }

    /// What follows the parameters of a head that watches them itself.
    var tape: Tape? { if case .composed(let head) = self { head.tape } else { nil } }

    /// The tensors that can have a gradient besides the hidden rows.
    var tensors: [Tensor] { if case .product(let operands) = self { operands.tensors } else { [] } }

    /// Whether the gradient by the hidden rows, and no other, can be computed in the pass that scores.
    var isFixedProduct: Bool { if case .product(let operands) = self { !operands.isTracked } else { false } }

    /// Whether anything in it is trained.
    var isTracked: Bool {
        switch self {
        case .product(let operands): operands.isTracked
        case .composed(let head): head.tape != nil
        }
    }

    /// `[R, C]` to logits `[R, V]`, on the tape.
    public func callAsFunction(_ h: Tensor, isDecoding: Bool) -> Tensor {
        switch self {
        case .product(let operands): operands(h, isDecoding: isDecoding)
        case .composed(let head): head.map(h, head.rows, head.tape)
        }
    }
}

/// A head that is more than one product: outputs or inputs are scaled between its terms.
public struct ComposedHead {
    let vocabulary: Int
    let rows: [Int32]
    /// What follows its parameters; nil where none is trained. What the tape records holds this head, so it must not own the tape.
    private(set) weak var tape: Tape?
    let map: (Tensor, [Int32], Tape?) -> Tensor

    /// Describes a head.
    ///
    /// - Parameters:
    ///   - vocabulary: V.
    ///   - rows: where the hidden rows lie in the batch, for dropout.
    ///   - tape: what follows the head's parameters; nil where none is trained.
    ///   - map: hidden rows `[R, C]`, their places in the batch and a tape to watch parameters with, to logits `[R, V]` in f32.
    public init(
        vocabulary: Int, rows: [Int32], tape: Tape?, _ map: @escaping (Tensor, [Int32], Tape?) -> Tensor
    ) {
        self.vocabulary = vocabulary
        self.rows = rows
        self.tape = tape
        self.map = map
    }
}
