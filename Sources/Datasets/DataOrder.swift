/// The order in which rows are taken, from a seed alone: nothing to save, nothing that depends on what was drawn before.
///
/// Every number is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) of the key `seed` and the
/// counter (index, stream, purpose).
package struct DataOrder: Sendable {
    /// What a number is drawn for; part of the counter, so that no two uses share numbers.
    package enum Purpose: UInt32 {
        /// The permutation of an epoch's rows.
        case epoch = 1
        /// The order of an epoch's batches.
        case batches = 2
        /// Which rows of a weighted source an epoch takes.
        case mixture = 3
        /// Which rows are held out for evaluation.
        case evaluation = 4
    }

    package let seed: UInt64

    /// Makes the orders of a seed.
    package init(seed: UInt64) { self.seed = seed }

    /// The 64-bit number at a counter.
    package func number(_ index: UInt64, stream: UInt32, _ purpose: Purpose) -> UInt64 {
        var counter = (
            UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32), stream, purpose.rawValue
        )
        var key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        for _ in 0..<10 {
            let a = UInt64(0xD251_1F53) * UInt64(counter.0)
            let b = UInt64(0xCD9E_8D57) * UInt64(counter.2)
            counter = (
                UInt32(truncatingIfNeeded: b >> 32) ^ counter.1 ^ key.0, UInt32(truncatingIfNeeded: b),
                UInt32(truncatingIfNeeded: a >> 32) ^ counter.3 ^ key.1, UInt32(truncatingIfNeeded: a)
            )
            key = (key.0 &+ 0x9E37_79B9, key.1 &+ 0xBB67_AE85)
        }
        return UInt64(counter.0) | UInt64(counter.1) << 32
    }

    /// The elements in random order (Fisher–Yates). The bias of the multiply-high bound is below count / 2⁶⁴.
    package func shuffled<Element>(_ elements: [Element], stream: UInt32, _ purpose: Purpose) -> [Element] {
        var result = elements
        for last in stride(from: elements.count - 1, to: 0, by: -1) {
            let bound = UInt64(last + 1)
            let pick = number(UInt64(last), stream: stream, purpose).multipliedFullWidth(by: bound).high
            result.swapAt(last, Int(pick))
        }
        return result
    }
}
