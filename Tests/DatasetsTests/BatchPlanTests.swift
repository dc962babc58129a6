import Datasets
import Files
import Testing

private func lengths(_ count: Int, upTo longest: Int) -> [Int] {
    let order = DataOrder(seed: 99)
    return (0..<count).map { 2 + Int(order.number(UInt64($0), stream: 0, .epoch) % UInt64(longest - 1)) }
}

@Suite struct BatchPlanTests {
    /// From an independent Philox4x32-10 that passes Random123's known answer for the zero key and counter.
    @Test(
        arguments: [
            (0, 0, 0, DataOrder.Purpose.epoch, 0x1348_e23f_2dce_73e5), (42, 7, 3, .batches, 0xcfcc_dd15_f429_39df),
            ((1 << 63) + 5, (1 << 40) + 9, .max, .mixture, 0xf465_8888_3689_adca),
        ] as [(UInt64, UInt64, UInt32, DataOrder.Purpose, UInt64)])
    func numbersArePhilox(seed: UInt64, index: UInt64, stream: UInt32, purpose: DataOrder.Purpose, expected: UInt64) {
        #expect(DataOrder(seed: seed).number(index, stream: stream, purpose) == expected)
    }

    @Test(arguments: [1, 999, 1000, 1001, 2500], [BatchSize.rows(4), .tokens(512)])
    func everyRowStandsInAnEpochOnce(count: Int, size: BatchSize) throws {
        let lengths = lengths(count, upTo: 512)
        for shuffle in [true, false] {
            let plan = try BatchPlan(lengths: lengths, size: size, shuffle: shuffle, seed: 1)
            for epoch in 0..<3 {
                let batches = plan.batches(epoch: epoch)
                #expect(batches.flatMap(\.self).sorted() == Array(0..<count))
                #expect(batches.allSatisfy { !$0.isEmpty })
                if case .tokens(let budget) = size {
                    #expect(batches.allSatisfy { $0.reduce(0) { $0 + lengths[$1] } <= budget })
                } else {
                    #expect(batches.dropLast().allSatisfy { $0.count == 4 })
                }
                #expect(plan.stepCount(epoch: epoch) == batches.count)
            }
        }
    }

    @Test func orderIsAFunctionOfSeedAndEpoch() throws {
        let lengths = lengths(1500, upTo: 300)
        func plan(_ seed: UInt64) throws -> BatchPlan {
            try BatchPlan(lengths: lengths, size: .tokens(1024), seed: seed)
        }
        #expect(try plan(7).batches(epoch: 2) == plan(7).batches(epoch: 2))
        #expect(try plan(7).batches(epoch: 2) != plan(7).batches(epoch: 3))
        #expect(try plan(7).batches(epoch: 2) != plan(8).batches(epoch: 2))
        let rows = try BatchPlan(lengths: lengths, size: .rows(10), seed: 7)
        #expect(rows.batches(epoch: 0) != rows.batches(epoch: 1))
        let plain = try BatchPlan(lengths: lengths, size: .rows(10), shuffle: false, seed: 7)
        #expect(plain.batches(epoch: 5).flatMap(\.self) == Array(0..<1500))
    }

    /// Best-fit-decreasing by hand: 6, 5, 4, 3, 2, 2 into bins of 8.
    @Test func packingIsBestFitDecreasing() {
        #expect(
            Packing.bins([0, 1, 2, 3, 4, 5], lengths: [2, 6, 4, 3, 5, 2], budget: 8) == [[1, 0], [4, 3], [2, 5]])
    }

    @Test func packingWastesLittle() throws {
        let plan = try BatchPlan(lengths: lengths(3000, upTo: 1024), size: .tokens(4096), seed: 3)
        #expect(try #require(plan.packingEfficiency()) > 0.97)
        #expect(try BatchPlan(lengths: [3], size: .rows(1), seed: 3).packingEfficiency() == nil)
    }

    @Test func accumulationGroupsNeverCrossEpochs() throws {
        let plan = try BatchPlan(lengths: lengths(10, upTo: 9), size: .rows(2), seed: 1, accumulation: 4)
        #expect(plan.steps(epoch: 0).map(\.count) == [4, 1])
        #expect(plan.totalSteps(epochs: 3) == 6)
        #expect(plan.totalSteps(epochs: 1.5) == 3)
        #expect(plan.totalSteps(epochs: 0.1) == 1)
        let packed = try BatchPlan(lengths: lengths(2000, upTo: 700), size: .tokens(1024), seed: 1, accumulation: 3)
        #expect(packed.totalSteps(epochs: 2) == packed.steps(epoch: 0).count + packed.steps(epoch: 1).count)
    }

    @Test func weightsSayHowOftenARowIsTaken() throws {
        let lengths = lengths(110, upTo: 50)
        let parts = [
            MixturePart(examples: Array(0..<100), weight: 0.5), MixturePart(examples: Array(100..<110), weight: 2),
        ]
        for shuffle in [true, false] {
            let plan = try BatchPlan(lengths: lengths, parts: parts, size: .rows(8), shuffle: shuffle, seed: 5)
            let first = plan.batches(epoch: 0).flatMap(\.self)
            let second = plan.batches(epoch: 1).flatMap(\.self)
            #expect(first.count == 70 && plan.rowsPerEpoch == 70)
            // Two epochs at one half take every row once; at two, each row twice an epoch.
            #expect((first + second).filter { $0 < 100 }.sorted() == Array(0..<100))
            #expect(first.filter { $0 >= 100 }.sorted() == (100..<110).flatMap { [$0, $0] })
            #expect(Set(first) != Set(plan.batches(epoch: 2).flatMap(\.self)))
        }
    }

    @Test func impossiblePlansAreRefused() {
        #expect(throws: InputError.self) { try BatchPlan(lengths: [], size: .rows(1), seed: 1) }
        #expect(throws: InputError.self) { try BatchPlan(lengths: [5, 9], size: .tokens(8), seed: 1) }
    }
}
