/// The tokens that top-k, top-p and min-p leave, found by selection instead of sorting the vocabulary.
struct Candidates {
    /// A token with its probability (relative to the largest, which is 1), in one number: a larger one comes first in the order of
    /// falling probability and rising id. Bits of positive floats are in the order of the floats.
    private struct Entry {
        var key: UInt64

        init(token: Int, probability: Float) {
            key = UInt64(probability.bitPattern) << 32 | UInt64(~UInt32(token))
        }

        var token: Int32 { Int32(~UInt32(truncatingIfNeeded: key)) }
        var probability: Double { Double(Float(bitPattern: UInt32(key >> 32))) }
    }

    /// What is kept, in the order of ids.
    private let kept: [Entry]

    /// Cuts.
    ///
    /// - Parameters:
    ///   - probabilities: of all tokens, relative to the largest.
    ///   - total: their sum.
    ///   - options: top-k, then top-p of what that leaves, then min-p.
    init(_ probabilities: UnsafeBufferPointer<Float>, total: Double, _ options: SamplingOptions) {
        guard options.topK != nil || options.topP < 1 else {
            kept = Self.gathered(probabilities, floor: Float(options.minP))
            return
        }
        // Most of a vocabulary is too improbable to matter: the probable tokens first, more only where those do not do.
        kept =
            [0x1p-12, 0x1p-24].lazy.compactMap { floor in
                Self.cut(Self.gathered(probabilities, floor: floor), isAll: false, total: total, options)
            }.first ?? Self.cut(Self.gathered(probabilities, floor: 0), isAll: true, total: total, options) ?? []
    }

    /// What the options leave; nil where it takes more than the given tokens to tell.
    private static func cut(_ byID: [Entry], isAll: Bool, total: Double, _ options: SamplingOptions) -> [Entry]? {
        var entries = byID
        var (count, mass) = (entries.count, total)
        if let topK = options.topK {
            guard isAll || count >= topK else { return nil }
            count = leading(&entries, of: count, until: Double(max(1, topK))) { _ in 1 }
            mass = entries[..<count].reduce(0) { $0 + $1.probability }
        }
        if options.topP < 1 {
            let limit = options.topP * mass
            guard isAll || entries[..<count].reduce(0, { $0 + $1.probability }) >= limit else { return nil }
            count = leading(&entries, of: count, until: limit, weight: \.probability)
        }
        let least = entries[..<count].reduce(UInt64.max) { min($0, $1.key) }
        return byID.filter { $0.key >= least && $0.probability >= options.minP }
    }

    /// The token at a share of the whole.
    func drawn(_ uniform: Double) -> Int32 {
        var rest = uniform * kept.reduce(0) { $0 + $1.probability }
        for entry in kept {
            rest -= entry.probability
            if rest < 0 { return entry.token }
        }
        return kept.last?.token ?? 0
    }

    private static func gathered(_ probabilities: UnsafeBufferPointer<Float>, floor: Float) -> [Entry] {
        var entries: [Entry] = []
        for token in probabilities.indices where probabilities[token] >= floor {
            entries.append(Entry(token: token, probability: probabilities[token]))
        }
        return entries
    }

    /// Brings the fewest leading entries whose weights reach a limit to the front.
    ///
    /// - Returns: how many they are; all where the limit is not reached.
    private static func leading(
        _ entries: inout [Entry], of count: Int, until limit: Double, weight: (Entry) -> Double
    ) -> Int {
        // All before `low` is taken and sums to `sum`; nothing from `high` on is.
        var (low, high, sum) = (0, count, 0.0)
        while low < high {
            let (first, middle, last) = (entries[low].key, entries[(low + high) / 2].key, entries[high - 1].key)
            let pivot = max(min(first, middle), min(max(first, middle), last))
            var (end, weights, pivotIndex) = (low, 0.0, low)
            for index in low..<high where entries[index].key >= pivot {
                if entries[index].key == pivot { pivotIndex = end }
                weights += weight(entries[index])
                entries.swapAt(index, end)
                end += 1
            }
            guard sum + weights >= limit else {
                (low, sum) = (end, sum + weights)
                continue
            }
            // The limit lies among these, of which the pivot is the least.
            entries.swapAt(pivotIndex, end - 1)
            if sum + weights - weight(entries[end - 1]) < limit { return end }
            high = end - 1
        }
        return low
    }
}
