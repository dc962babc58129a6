import Tensors
import Testing

@Suite struct HalfPrecisionTests {
    @Test func everyHalfMatchesTheCompilersOwn() {
        for bits in UInt16.min...UInt16.max {
            let ours = HalfPrecision.float(fromHalf: bits)
            let expected = Float(Float16(bitPattern: bits))
            #expect(ours.bitPattern == expected.bitPattern || (ours.isNaN && expected.isNaN), "\(bits)")
            guard !ours.isNaN else { continue }
            #expect(HalfPrecision.half(from: ours) == bits)
        }
    }

    @Test func roundingIsToNearestEven() {
        var random = SplitMix(state: 3)
        for round in 0..<400_000 {
            // All bit patterns, and more often those near what F16 can hold.
            var bits = UInt32(truncatingIfNeeded: random.next())
            if round % 2 == 0 { bits = bits & 0x807F_FFFF | (96 + bits >> 23 % 52) << 23 }
            let value = Float(bitPattern: bits)
            let half = HalfPrecision.half(from: value)
            let brain = HalfPrecision.brain(from: value)
            if value.isNaN {
                #expect(HalfPrecision.float(fromHalf: half).isNaN && HalfPrecision.float(fromBrain: brain).isNaN)
            } else {
                #expect(half == Float16(value).bitPattern, "\(value)")
                #expect(brain == nearestBrain(value), "\(value)")
            }
        }
    }

    /// The same by comparing the two neighbours in double precision.
    private func nearestBrain(_ value: Float) -> UInt16 {
        let down = UInt16(value.bitPattern >> 16)
        guard value.isFinite, value.bitPattern & 0xFFFF != 0 else { return down }
        let up = down + 1
        // One step beyond the largest finite number stands for 2¹²⁸, though its bits read as infinite.
        func magnitude(_ bits: UInt16) -> Double {
            bits & 0x7FFF == 0x7F80 ? 0x1p128 : abs(Double(HalfPrecision.float(fromBrain: bits)))
        }
        let (below, above) = (abs(Double(value)) - magnitude(down), magnitude(up) - abs(Double(value)))
        return below < above || (below == above && down % 2 == 0) ? down : up
    }

    @Test func arraysConvertLikeSingleValues() {
        let bits = (0..<1003).map { UInt16(truncatingIfNeeded: $0 &* 577) }
        var floats = [Float](repeating: 0, count: bits.count)
        bits.withUnsafeBytes { source in
            floats.withUnsafeMutableBufferPointer { target in
                if let from = source.baseAddress, let to = target.baseAddress {
                    HalfPrecision.convert(brain: from, count: bits.count, into: to)
                }
            }
        }
        #expect(floats.map(\.bitPattern) == bits.map { HalfPrecision.float(fromBrain: $0).bitPattern })
    }
}
