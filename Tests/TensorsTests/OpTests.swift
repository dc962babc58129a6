import Foundation
import Tensors
import TestSupport
import Testing

@Suite("Ops") struct OpTests {
    @Test("agree with the plain loops, forward and backward", arguments: opCases)
    func reference(_ op: OpCase) {
        let inputs = op.sampleInputs()
        let fast = op.evaluate(on: .cpu, inputs: inputs)
        let plain = op.evaluate(on: .reference, inputs: inputs)
        #expect(distance(fast.output, plain.output, relative: 2e-5, absolute: 2e-5) <= 1)
        for (fast, plain) in zip(fast.gradients, plain.gradients) {
            #expect(!plain.isEmpty)
            #expect(distance(fast, plain, relative: 5e-5, absolute: 1e-4) <= 1)
        }
    }

    @Test("agree with the plain loops on activations in bf16", arguments: bf16Cases)
    func bf16(_ op: OpCase) {
        // All operands are rounded on the way into a product, which the plain loops do not do.
        let inputs = op.sampleInputs().map { Tensor($0, shape: [$0.count]).converted(to: .bf16).values }
        let fast = op.evaluate(on: .cpu, inputs: inputs, upstream: .bf16)
        let plain = op.evaluate(on: .reference, inputs: inputs, upstream: .bf16)
        // Both sides round what they store, and a sum that lies between two numbers of eight bits may go to either.
        #expect(distance(fast.output, plain.output, relative: 1e-2, absolute: 1e-2) <= 1)
        for (fast, plain) in zip(fast.gradients, plain.gradients) {
            #expect(!plain.isEmpty)
            #expect(distance(fast, plain, relative: 2e-2, absolute: 2e-2) <= 1)
        }
    }

    @Test("have the gradients that finite differences of the plain loops give", arguments: opCases)
    func finiteDifferences(_ op: OpCase) {
        let inputs = op.sampleInputs()
        let gradients = op.evaluate(on: .reference, inputs: inputs).gradients
        let step: Float = 1e-2
        for (index, values) in inputs.enumerated() {
            // Every element of small inputs, some of large ones.
            for element in stride(from: 0, to: values.count, by: max(1, values.count / 23)) {
                func shifted(_ by: Float) -> Double {
                    var inputs = inputs
                    inputs[index][element] += by
                    return op.projection(on: .reference, inputs: inputs)
                }
                // Fourth-order central difference: the error is of order step⁴.
                let slope =
                    (8 * (shifted(step) - shifted(-step)) - (shifted(2 * step) - shifted(-2 * step)))
                    / Double(12 * step)
                #expect(
                    isClose(Double(gradients[index][element]), slope, relative: 2e-3, absolute: 2e-3),
                    "input \(index), element \(element): \(gradients[index][element]) against \(slope)")
            }
        }
    }

    @Test("dropout keeps the share it should, scales what it keeps, and goes by row and position only")
    func dropout() {
        let rows = 400
        let mask = DropoutMask(
            probability: 0.25, key: RandomKey(seed: 7, purpose: "x"), rowKeys: (0..<rows).map { Int64($0 / 10) },
            positions: (0..<rows).map { Int32($0 % 10) })
        // Through an adapter whose A is the identity and whose B is too: y = x W^T + dropout(x), W = 0.
        let identity = Tensor((0..<64).map { $0 % 9 == 0 ? 1 : 0 }, shape: [8, 8])
        func dropped(_ rows: [Int32]) -> [Float] {
            let operands = LinearOperands(
                weight: .zeros([8, 8]), lowRank: [.init(a: identity, b: identity, scale: 1, dropout: mask)])
            return operands.selecting(rows: rows)(Tensor(repeating: 1, shape: [rows.count, 8])).values
        }
        let all = dropped((0..<Int32(rows)).map { $0 })
        #expect(all.allSatisfy { $0 == 0 || abs($0 - 1 / 0.75) < 1e-6 })
        let kept = Double(all.count { $0 > 0 }) / Double(all.count)
        #expect(abs(kept - 0.75) < 0.03)
        #expect(dropped([123, 7]) == Array(all[123 * 8..<124 * 8]) + Array(all[7 * 8..<8 * 8]))
        #expect(Array(all[0..<8 * 10]) != Array(all[8 * 10..<8 * 20]))
    }

    @Test("the head's scores are those of a softmax")
    func headScores() {
        let h = Tensor(OpCase.numbers(300 * 8, seed: 1), shape: [300, 8])
        let weight = Tensor(OpCase.numbers(50 * 8, seed: 2), shape: [50, 8])
        let targets = (0..<300).map { Int32($0 % 50) }
        let scores = HeadScores(h, head: .product(LinearOperands(weight: weight)), targets: targets).scores
        let logits = LinearOperands(weight: weight)(h).values
        for row in [0, 1, 130, 299] {
            let row64 = logits[row * 50..<(row + 1) * 50].map(Double.init)
            let total = row64.map { exp($0) }.reduce(0, +)
            let logp = row64.map { $0 - log(total) }
            #expect(isClose(Double(scores.logProbabilities[row]), logp[Int(targets[row])], relative: 1e-5))
            let entropy = -logp.reduce(0) { $0 + exp($1) * $1 }
            #expect(isClose(Double(scores.entropies[row]), entropy, relative: 1e-5))
            let mean = row64.reduce(0, +) / Double(row64.count)
            #expect(isClose(Double(scores.meanLogits[row]), mean, relative: 1e-5, absolute: 1e-6))
            let squares = log(logp.reduce(0) { $0 + exp(2 * $1) })
            #expect(isClose(Double(scores.logSumSquares[row]), squares, relative: 1e-5))
            #expect(scores.hits[row] == (row64.max() == row64[Int(targets[row])] ? 1 : 0))
        }
    }
}
