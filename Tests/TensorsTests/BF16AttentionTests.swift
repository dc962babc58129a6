import CKernels
import TestSupport
import Testing

/// Attention of bf16 numbers on AMX's tiles, where the machine has them, and on their plain twin, which runs anywhere.
@Suite("bf16 attention") struct BF16AttentionTests {
    @Test("agrees with the plain loops, forward and backward", arguments: units, problems)
    func values(_ unit: String, _ problem: BF16Attention) throws {
        let plain = try #require(problem.evaluate(on: nil))
        guard let fast = problem.evaluate(on: unit, forward: plain) else { return }
        // Nothing is rounded on the way to the sums of exponentials but outside keys.
        let lseTolerance = problem.outsideRows == 0 ? 1e-5 : 5e-3
        #expect(distance(fast.lse, plain.lse, relative: lseTolerance, absolute: lseTolerance) <= 1)
        for (fast, plain) in zip(fast.arrays, plain.arrays) {
            // Probabilities and the scores' gradients have eight bits, each of them rounded either way.
            let size = (plain.reduce(0) { $0 + $1 * $1 } / Float(max(plain.count, 1))).squareRoot()
            #expect(distance(fast, plain, relative: 2.5e-2, absolute: 2.5e-2 * Double(size)) <= 1)
        }
    }

    @Test("gives the same bits on any number of threads", arguments: units)
    func threads(_ unit: String) {
        let table = graft_kernel_table().pointee
        let threads = table.threads()
        defer { table.set_threads(threads) }
        for problem in problems {
            table.set_threads(1)
            let one = problem.evaluate(on: unit)
            table.set_threads(3)
            #expect(problem.evaluate(on: unit) == one)
        }
    }

    @Test("gives a packed sequence the bits that it has alone", arguments: units)
    func packed(_ unit: String) {
        let rows = 75..<141
        let packed = BF16Attention(
            150, heads: 4, 2, 64, [.init(0..<1), .init(1..<71), .init(rows)], scale: 0.4)
        let alone = BF16Attention(66, heads: 4, 2, 64, [.init(0..<66)], scale: 0.4, firstRow: 75)
        guard let all = packed.evaluate(on: unit), let some = alone.evaluate(on: unit) else { return }
        #expect(Array(all.lse[rows.lowerBound * 4..<rows.upperBound * 4]) == some.lse)
        for (all, some) in zip(all.arrays, some.arrays) {
            let width = all.count / 150
            #expect(Array(all[rows.lowerBound * width..<rows.upperBound * width]) == some)
        }
    }

    @Test("is not reached by what stands beside a sequence", arguments: units)
    func neighbours(_ unit: String) {
        var problem = BF16Attention(90, heads: 2, 1, 16, [.init(0..<40), .init(50..<90)])
        guard let before = problem.evaluate(on: unit) else { return }
        problem.spoiledRows = 40..<50
        guard let after = problem.evaluate(on: unit) else { return }
        #expect(before == after)
    }
}

private let units = ["tiles", "amx"]

/// Sequences and segments that end inside of blocks, halves of strips and steps of channels.
private let problems = [
    BF16Attention(1, heads: 1, 1, 16, [.init(0..<1)]),
    BF16Attention(200, heads: 4, 2, 64, [.init(0..<200)]),
    BF16Attention(130, heads: 1, 1, 80, [.init(0..<130)]),
    BF16Attention(33, heads: 3, 1, 33, [.init(0..<33)]),
    BF16Attention(70, heads: 2, 2, 128, [.init(0..<70)], scale: 0.2),
    BF16Attention(150, heads: 3, 3, 16, [.init(0..<1), .init(1..<71), .init(75..<141)]),
    BF16Attention(
        290, heads: 2, 1, 64,
        [
            .init(0..<166), .init(166..<175, reads: [.rows(0..<165)]), .init(175..<183, reads: [.rows(0..<165)]),
            .init(183..<190, reads: [.rows(5..<130), .rows(166..<166), .rows(175..<178)]),
            .init(200..<280, reads: [.rows(0..<166), .rows(195..<198)]),
        ]),
    BF16Attention(
        80, heads: 4, 2, 16,
        [
            .init(0..<4, reads: [.outside(0..<90)]),
            .init(4..<74, reads: [.outside(3..<23), .outside(40..<80), .rows(0..<4)]),
        ], outsideRows: 90),
]
