import Tensors
import TestSupport
import Testing

@Suite("Tape") struct TapeTests {
    @Test("adds what reaches a parameter along several ways, and over several tapes")
    func accumulation() {
        let parameter = Parameter(Tensor([1, 2], shape: [2]), isTrainable: true)
        for _ in 0..<2 {
            let tape = Tape()
            let w = tape.watch(parameter)
            tape.backward(from: w.scaled(by: 3) + (tape.watch(parameter) + w))
        }
        #expect(parameter.gradient?.values == [10, 10])
        #expect(parameter.value.values == [1, 2])
    }

    @Test("does not follow frozen parameters, nor record what comes of untracked tensors alone")
    func frozen() {
        let frozen = Parameter(Tensor([1, 2], shape: [2]))
        let tape = Tape()
        let y = tape.watch(frozen).scaled(by: 2)
        #expect(!y.isTracked)
        tape.backward(from: y)
        #expect(frozen.gradient == nil)
    }

    @Test("recomputation gives the same bits as recording, for parameters inside and the input")
    func recomputation() {
        let x = Tensor(OpCase.numbers(40 * 12, seed: 1), shape: [40, 12])
        func gradients(recomputed: Bool) -> [[Float]] {
            let weight = Parameter(Tensor(OpCase.numbers(12 * 12, seed: 2), shape: [12, 12]), isTrainable: true)
            let tape = Tape()
            let start = tape.leaf(x)
            let block: (Tape?, Tensor) -> Tensor = { tape, x in
                let w = tape?.watch(weight) ?? weight.value
                return siluMultiply(gate: LinearOperands(weight: w)(x), up: x) + x
            }
            let y =
                recomputed
                ? tape.recomputed([tape.recomputed([start]) { block($0, $1[0]) }]) { block($0, $1[0]) }
                : block(tape, block(tape, start))
            tape.backward(from: y)
            return [tape.gradient(of: start)?.values ?? [], weight.gradient?.values ?? [], y.values]
        }
        #expect(gradients(recomputed: true) == gradients(recomputed: false))
    }
}
