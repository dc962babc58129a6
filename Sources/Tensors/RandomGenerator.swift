import CKernels
import Foundation

/// The key of a stream of random numbers: which run, for what, at which optimizer step.
///
/// Randomness is counter-based (Philox 4x32-10, Salmon et al. 2011): a number is a pure function of key and counter. So there is no
/// state to save, and no draw depends on what else is in the batch.
public struct RandomKey: Hashable, Sendable {
    /// The 64-bit key.
    public let value: UInt64

    /// Derives the key from the run's seed, the purpose (a module's path, "sampling", "initialization"), and the step.
    public init(seed: UInt64, purpose: String, step: Int = 0) {
        // FNV-1a over the purpose, then two rounds of the finaliser of splitmix64 over seed and step.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in purpose.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        value = Self.mixed(Self.mixed(hash ^ seed) &+ UInt64(bitPattern: Int64(step)))
    }

    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Four random words for a counter of four words.
    public func words(_ counter: (UInt32, UInt32, UInt32, UInt32)) -> (UInt32, UInt32, UInt32, UInt32) {
        var result: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &result) { out in
            withUnsafeBytes(of: counter) { counter in
                graft_philox(
                    out.assumingMemoryBound(to: UInt32.self).baseAddress,
                    counter.assumingMemoryBound(to: UInt32.self).baseAddress, value)
            }
        }
        return result
    }

    /// A number in [0, 1) with 53 random bits for a counter, such as (prompt row, sample, token position).
    public func uniform(_ a: Int, _ b: Int, _ c: Int) -> Double {
        let low = UInt64(bitPattern: Int64(a))
        let word = words(
            (
                UInt32(truncatingIfNeeded: c), UInt32(truncatingIfNeeded: b), UInt32(truncatingIfNeeded: low),
                UInt32(truncatingIfNeeded: low >> 32)
            ))
        return Double(UInt64(word.0) << 21 ^ UInt64(word.1) >> 11) * 0x1p-53
    }
}

/// A stream of random numbers under one key, counted from zero: for initial values, where an order exists.
public struct RandomGenerator: RandomNumberGenerator, Sendable {
    private let key: RandomKey
    private var counter: UInt64 = 0

    /// Starts the stream of a key.
    public init(_ key: RandomKey) { self.key = key }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        let word = key.words((UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter >> 32), 0, 0))
        counter += 1
        return UInt64(word.0) << 32 | UInt64(word.1)
    }

    /// A number uniform in [0, 1).
    public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// A number from the standard normal distribution (Box and Muller 1958).
    public mutating func normal() -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return radius * cos(2 * .pi * uniform())
    }
}
