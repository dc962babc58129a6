import Layers
import Tensors
import TestSupport
import Testing

/// What a decoder block promises, whatever batch its rows are in.
@Suite("Decoder block") struct BlockTests {
    private func bits(_ tensor: Tensor) -> [UInt32] { tensor.values.map(\.bitPattern) }

    @Test("a sequence's rows are the same bits alone and among others")
    func packed() throws {
        let block = try makeBlock()
        // 300 rows reach past one block of 256.
        let (a, b) = (random([300, 16], "a"), random([37, 16], "b"))
        let packed = run(
            block, Tensor(b.values + a.values + b.values, shape: [374, 16]),
            ForwardContext(SequenceLayout([.init(count: 37), .init(count: 300), .init(count: 37)])))
        let aloneA = run(block, a, ForwardContext(SequenceLayout([.init(count: 300)])))
        let aloneB = run(block, b, ForwardContext(SequenceLayout([.init(count: 37)])))
        #expect(bits(packed[rows: 0..<37]) == bits(aloneB))
        #expect(bits(packed[rows: 37..<337]) == bits(aloneA))
        #expect(bits(packed[rows: 337..<374]) == bits(aloneB))
    }

    @Test("answers that share a prompt give what each gives with a prompt of its own")
    func sharedPrompt() throws {
        let block = try makeBlock()
        let (prompt, one, two) = (random([9, 16], "prompt"), random([4, 16], "one"), random([6, 16], "two"))
        // A child starts with the last token of its prompt; the parent holds the rest.
        let last = prompt[rows: 8..<9].values
        let parent = AttentionLayout.Segment(start: 0, count: 8)
        let shared = run(
            block, Tensor(prompt[rows: 0..<8].values + last + one.values + last + two.values, shape: [20, 16]),
            ForwardContext(
                SequenceLayout([
                    .init(count: 8), .init(count: 5, firstPosition: 8, segments: [parent]),
                    .init(count: 7, firstPosition: 8, segments: [parent]),
                ])))
        for (answer, rows) in [(one, 8..<13), (two, 13..<20)] {
            let whole = Tensor(prompt.values + answer.values, shape: [9 + answer.rows, 16])
            let alone = run(block, whole, ForwardContext(SequenceLayout([.init(count: whole.rows)])))
            #expect(isClose(shared[rows: rows].values, alone[rows: 8..<whole.rows].values))
            #expect(isClose(shared[rows: 0..<8].values, alone[rows: 0..<8].values))
        }
    }

    @Test("nothing reads what comes after it")
    func causal() throws {
        let block = try makeBlock()
        let x = random([12, 16], "x")
        let context = ForwardContext(SequenceLayout([.init(count: 12)]))
        let changed = Tensor(x[rows: 0..<8].values + random([4, 16], "other").values, shape: [12, 16])
        #expect(bits(run(block, x, context)[rows: 0..<8]) == bits(run(block, changed, context)[rows: 0..<8]))
        #expect(bits(run(block, x, context)[rows: 8..<9]) != bits(run(block, changed, context)[rows: 8..<9]))
    }

    @Test("recomputation gives the same gradients to the bit, with dropout in an adapter")
    func recomputed() throws {
        let block = try makeBlock()
        block.setTrainable(true)
        let layer = block.mlp.upProjection
        layer.attach(TestAdapter("up", rank: 3, layer: layer, dropout: 0.4), name: "a")
        let (x, gradient) = (random([10, 16], "x"), random([10, 16], "dy"))
        func gradients(_ recompute: Recompute, step: Int = 0) -> [[UInt32]?] {
            for (_, parameter) in block.parameters() { parameter.gradient = nil }
            let tape = Tape()
            let context = ForwardContext(
                SequenceLayout([.init(count: 4, row: 2), .init(count: 6, row: 5)]), tape: tape, adapters: ["a"],
                dropout: .init(seed: 3, step: step), recompute: recompute)
            let start = tape.leaf(x)
            tape.backward(from: run(block, start, context), gradient: gradient)
            return [tape.gradient(of: start).map(bits)] + block.parameters().map { $0.parameter.gradient.map(bits) }
        }
        let kept = gradients(.none)
        #expect(kept.allSatisfy { $0 != nil })
        for recompute in [Recompute.layer, .attention] {
            #expect(gradients(recompute) == kept)
            #expect(gradients(recompute, step: 1) != kept)
        }
    }

    @Test("a layout counts positions and names rows sequence by sequence")
    func layout() {
        let layout = SequenceLayout([.init(count: 3, row: 7), .init(count: 2, firstPosition: 5, row: 9)])
        #expect(layout.positions == [0, 1, 2, 5, 6])
        #expect(layout.rowKeys == [7, 7, 7, 9, 9])
        #expect(layout.count == 5)
        #expect(SequenceLayout([]).count == 0)
    }
}
