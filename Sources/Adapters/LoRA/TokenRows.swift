import Layers
import Tensors

/// The rows of some tokens, trained while the rest of the table is frozen: PEFT's `trainable_token_indices`.
final class TokenRows: EmbeddingAdapter {
    /// The tokens, in the order of the rows.
    let tokens: [Int32]
    /// `[tokens, C]`.
    let rows: Parameter
    private let places: [Int32: Int32]

    /// PEFT's name of the rows.
    static let name = "token_adapter.trainable_tokens_delta"

    init(_ tokens: [Int32], of table: Parameter) {
        self.tokens = tokens
        rows = Parameter(gatherRows(table.value, tokens))
        places = Dictionary(tokens.enumerated().map { ($1, Int32($0)) }, uniquingKeysWith: { first, _ in first })
    }

    var ownParameters: [(name: String, parameter: Parameter)] { [(Self.name, rows)] }
    var ownWeight: Parameter? { nil }

    func adapted(_ rows: Tensor, of tokens: [Int32], _ context: ForwardContext) -> Tensor {
        let found = tokens.enumerated().compactMap { index, token in places[token].map { (Int32(index), $0) } }
        return rows.replacingRows(found.map(\.0), with: context.value(self.rows), rows: found.map(\.1))
    }

    func merged(into weight: Tensor) -> Tensor {
        weight.converted(to: .f32).replacingRows(tokens, with: rows.value, rows: tokens.indices.map { Int32($0) })
    }
}

/// The same on a head: `logits[token] = h · row`, as a low-rank term that adds what the rows differ by from the head's.
class TokenRowsHead: LinearAdapter {
    fileprivate let tokens: [Int32]
    fileprivate let rows: Parameter
    private let original: Tensor
    private let selection: Tensor

    fileprivate init(_ tokens: [Int32], rows: Parameter, head: Parameter) {
        self.tokens = tokens
        self.rows = rows
        original = gatherRows(head.value, tokens).scaled(by: -1)
        selection = .zeros([head.value.rows, tokens.count])
        selection.withMutableFloats {
            for (column, token) in tokens.enumerated() { $0[Int(token) * tokens.count + column] = 1 }
        }
    }

    /// Rows of the head's own.
    convenience init(_ tokens: [Int32], of head: Parameter) {
        self.init(tokens, rows: Parameter(gatherRows(head.value, tokens)), head: head)
    }

    var ownParameters: [(name: String, parameter: Parameter)] { [(TokenRows.name, rows)] }

    func updates(_ context: ForwardContext) -> [LinearUpdate] {
        [.lowRank(LowRankTerm(a: context.value(rows) + original, b: selection, scale: 1))]
    }

    func merged(into weight: Tensor) -> Tensor {
        let result = weight.dtype == .f32 ? weight.copied() : weight.converted(to: .f32)
        result.addInPlace(matrixProduct(selection, rows.value + original))
        return result
    }
}

/// The rows of an embedding on the head that shares its weight.
final class TiedTokenRowsHead: TokenRowsHead, FollowsEmbedding {
    init(_ embedding: TokenRows, head: Parameter) {
        super.init(embedding.tokens, rows: embedding.rows, head: head)
    }

    /// The embedding's.
    override var ownParameters: [(name: String, parameter: Parameter)] { [] }
}
