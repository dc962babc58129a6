import Tensors
import TestSupport
import Testing

/// The products of a few rows against those of many, which `OpTests` hold against plain loops.
@Suite("Decoding products") struct DecodingProductTests {
    /// Sizes that are no multiple of a step, a tile or a task of the kernel.
    static let shapes = [[1, 33, 576], [2, 7, 32], [3, 301, 100], [8, 100, 1537], [33, 190, 576]]

    @Test("on weights in bf16, agree with the ordinary products", arguments: shapes)
    func bf16(_ shape: [Int]) {
        let (rows, out, inner) = (shape[0], shape[1], shape[2])
        let x = Tensor(OpCase.numbers(rows * inner, seed: 1), shape: [rows, inner])
        let weight = Tensor(OpCase.numbers(out * inner, seed: 2), shape: [out, inner]).converted(to: .bf16)
        let operands = LinearOperands(weight: weight)
        #expect(
            distance(operands(x, isDecoding: true).values, operands(x).values, relative: 1e-5, absolute: 2e-5) <= 1)
    }

    @Test("give a row the same bits whatever other rows there are", arguments: [DType.f32, .bf16])
    func rowsAlone(_ dtype: DType) {
        let x = Tensor(OpCase.numbers(21 * 200, seed: 1), shape: [21, 200])
        let operands = LinearOperands(
            weight: Tensor(OpCase.numbers(150 * 200, seed: 2), shape: [150, 200]).converted(to: dtype),
            lowRank: [
                .init(
                    a: Tensor(OpCase.numbers(4 * 200, seed: 3), shape: [4, 200]),
                    b: Tensor(OpCase.numbers(150 * 4, seed: 4), shape: [150, 4]), scale: 2)
            ])
        let together = operands(x, isDecoding: true)
        for count in [1, 2, 3, 5, 8] {
            for first in [0, 7, 21 - count] {
                let rows = first..<first + count
                #expect(operands(x[rows: rows], isDecoding: true).values == together[rows: rows].values)
            }
        }
    }
}
