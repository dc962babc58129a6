import Tensors
import TestSupport
import Testing

@Suite("Ops of sampling") struct SamplingOpTests {
    @Test("agree with the plain loops", arguments: [1, 15, 16, 513, 49_153])
    func reference(_ count: Int) {
        let numbers = OpCase.numbers(2 * count, seed: 4)
        let (fast, plain) = (
            Tensor(numbers, shape: [2, count]), Tensor(numbers, shape: [2, count], device: .reference)
        )
        #expect(fast.largestIndex(row: 1) == plain.largestIndex(row: 1))
        let (a, b) = (
            fast.exponentials(row: 1, maximum: 0.9, factor: 1.7), plain.exponentials(row: 1, maximum: 0.9, factor: 1.7)
        )
        #expect(isClose(a.values.values, b.values.values, relative: 1e-6))
        #expect(isClose(a.sums, b.sums, relative: 1e-6) && a.sums.count == (count + 511) / 512)
    }

    @Test("the largest is the first of equals, wherever it stands, and never NaN")
    func largest() {
        for count in [3, 16, 40] {
            for place in 0..<count {
                var numbers = [Float](repeating: -3, count: count)
                numbers[place] = -2
                numbers[count - 1] = -2
                if place > 0 { numbers[0] = .nan }
                #expect(Tensor(numbers, shape: [1, count]).largestIndex(row: 0) == place)
            }
        }
        #expect(Tensor([.nan, .nan], shape: [1, 2]).largestIndex(row: 0) == nil)
        #expect(Tensor([.nan, -.infinity], shape: [1, 2]).largestIndex(row: 0) == 1)
    }
}
