import Tensors
import TestSupport
import Testing

/// Attention of single rows against the plain loops, whose definition is that of ordinary attention.
@Suite("Decoding attention") struct DecodingAttentionTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        var heads: Int
        var keyValueHeads: Int
        var dimension: Int
        var dtype: DType
        var testDescription: String { "\(heads)/\(keyValueHeads) heads of \(dimension), \(dtype)" }
    }

    static let shapes = [
        Shape(heads: 4, keyValueHeads: 2, dimension: 8, dtype: .f32),
        Shape(heads: 9, keyValueHeads: 3, dimension: 64, dtype: .bf16),
        Shape(heads: 3, keyValueHeads: 3, dimension: 24, dtype: .bf16),
        Shape(heads: 2, keyValueHeads: 1, dimension: 80, dtype: .f32),
        Shape(heads: 4, keyValueHeads: 1, dimension: 128, dtype: .bf16),
    ]

    /// One row without keys, one with a long segment, two that share one, one with parts of several.
    private static func layout() -> AttentionLayout {
        AttentionLayout(
            [
                .init(start: 0, count: 1),
                .init(start: 1, count: 1, segments: [.init(start: 0, count: 300, outside: 0)]),
                .init(
                    start: 2, count: 1,
                    segments: [.init(start: 0, count: 128, outside: 1), .init(start: 0, count: 7, outside: 2)]),
                .init(
                    start: 3, count: 1,
                    segments: [.init(start: 0, count: 128, outside: 1), .init(start: 3, count: 130, outside: 0)]),
                .init(
                    start: 4, count: 1, segments: [.init(start: 5, count: 2, outside: 2), .init(start: 2, count: 1)]),
            ], rows: 5)
    }

    private func inputs(_ shape: Shape, on device: Device) -> (q: Tensor, k: Tensor, v: Tensor, outside: [OutsideKeys])
    {
        let width = shape.keyValueHeads * shape.dimension
        func numbers(_ rows: Int, _ columns: Int, _ seed: UInt64) -> Tensor {
            Tensor(OpCase.numbers(rows * columns, seed: seed), shape: [rows, columns], device: device)
        }
        let outside = [300, 128, 9].enumerated().map { index, rows in
            OutsideKeys(
                keys: numbers(rows, width, UInt64(10 + index)).converted(to: shape.dtype),
                values: numbers(rows, width, UInt64(20 + index)).converted(to: shape.dtype))
        }
        return (
            numbers(5, shape.heads * shape.dimension, 1).scaled(by: 3), numbers(5, width, 2), numbers(5, width, 3),
            outside
        )
    }

    private func decoded(_ shape: Shape, on device: Device) -> Tensor {
        let (q, k, v, outside) = inputs(shape, on: device)
        return decodingAttention(
            q: q, k: k, v: v, layout: Self.layout(), outside: outside, headDimension: shape.dimension, scale: 0.4)
    }

    @Test("agrees with the plain loops, and with ordinary attention", arguments: shapes)
    func reference(_ shape: Shape) {
        let fast = decoded(shape, on: .cpu).values
        #expect(distance(fast, decoded(shape, on: .reference).values, relative: 2e-5, absolute: 2e-5) <= 1)
        let (q, k, v, outside) = inputs(shape, on: .cpu)
        let ordinary = attention(
            q: q, k: k, v: v, layout: Self.layout(), outside: outside, headDimension: shape.dimension, scale: 0.4)
        #expect(distance(fast, ordinary.values, relative: 2e-5, absolute: 2e-5) <= 1)
    }

    @Test("gives a row the same bits alone")
    func alone() {
        let shape = Self.shapes[1]
        let (q, k, v, outside) = inputs(shape, on: .cpu)
        let together = decoded(shape, on: .cpu)
        for (row, sequence) in Self.layout().sequences.enumerated() where row != 4 {
            let single = AttentionLayout([.init(start: 0, count: 1, segments: sequence.segments)], rows: 1)
            let rows = row..<row + 1
            let alone = decodingAttention(
                q: q[rows: rows], k: k[rows: rows], v: v[rows: rows], layout: single, outside: outside,
                headDimension: shape.dimension, scale: 0.4)
            #expect(alone.values == together[rows: rows].values)
        }
    }
}
