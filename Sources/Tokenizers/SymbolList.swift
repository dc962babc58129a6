/// The symbols of one piece while they are merged.
///
/// Byte-pair encoding joins, as long as there is one, the neighbouring pair of the lowest rank, the leftmost of equals. Short
/// pieces look through all pairs each time; long ones keep a heap, so that a "word" of a megabyte takes n·log n.
struct SymbolList: Sendable {
    private struct Symbol {
        var id: Int32
        /// Bytes of the piece.
        var length: Int32
        /// Rank of the merge with the next symbol, `noRank` where there is none, and what the merge makes.
        var rank: UInt32 = Self.noRank
        var merged: Int32 = 0
        /// Neighbours, -1 at the ends. Only kept by the heap.
        var previous: Int32 = -1
        var next: Int32 = -1
        static let noRank = UInt32.max
    }
    private var symbols: [Symbol] = []
    private var heap: [UInt64] = []
    private var skipped = 0
    private static let shortest = 48

    /// Empties the list.
    mutating func removeAll() {
        symbols.removeAll(keepingCapacity: true)
        skipped = 0
    }

    /// Adds a symbol at the end.
    @inline(__always)
    mutating func append(_ id: Int32, length: Int) { symbols.append(Symbol(id: id, length: Int32(length))) }

    /// Passes over bytes that become no token: they count as the symbol's before them, or as the first one's.
    mutating func skip(_ bytes: Int) {
        if symbols.isEmpty { skipped += bytes } else { symbols[symbols.count - 1].length += Int32(bytes) }
    }

    /// Merges all that can be merged, and appends the tokens that are left.
    ///
    /// A piece of which everything was skipped becomes one token of id -1, so that the tokens' lengths always add up to the piece.
    mutating func merge(_ merges: PairTable, into output: inout [WordCache.Token]) {
        if skipped > 0 {
            if symbols.isEmpty { append(-1, length: 0) }
            symbols[0].length += Int32(skipped)
        }
        if symbols.count <= Self.shortest { mergeShort(merges) } else { mergeLong(merges) }
        for symbol in symbols where symbol.length >= 0 {
            output.append(WordCache.Token(id: symbol.id, length: symbol.length))
        }
    }

    private mutating func mergeShort(_ merges: PairTable) {
        symbols.withUnsafeMutableBufferPointer { buffer in
            var count = buffer.count
            for index in 0..<max(count - 1, 0) { Self.look(merges, buffer, index, index &+ 1) }
            while true {
                var best = -1
                var bestRank = Symbol.noRank
                for index in 0..<count where buffer[index].rank < bestRank {
                    best = index
                    bestRank = buffer[index].rank
                }
                guard best >= 0 else { break }
                buffer[best].id = buffer[best].merged
                buffer[best].length &+= buffer[best &+ 1].length
                count &-= 1
                for index in best &+ 1..<max(count, best &+ 1) { buffer[index] = buffer[index &+ 1] }
                buffer[best].rank = Symbol.noRank
                if best &+ 1 < count { Self.look(merges, buffer, best, best &+ 1) }
                if best > 0 { Self.look(merges, buffer, best &- 1, best) }
            }
            for index in count..<buffer.count { buffer[index].length = -1 }
        }
    }

    @inline(__always)
    private static func look(
        _ merges: PairTable, _ symbols: UnsafeMutableBufferPointer<Symbol>, _ left: Int, _ right: Int
    ) {
        let found = merges.value(symbols[left].id, symbols[right].id)
        // An absent value has all bits set, so its upper half is no rank.
        symbols[left].rank = UInt32(truncatingIfNeeded: found >> 32)
        symbols[left].merged = Int32(truncatingIfNeeded: found)
    }

    private mutating func mergeLong(_ merges: PairTable) {
        heap.removeAll(keepingCapacity: true)
        let heapKeeper = symbols.count
        symbols.withUnsafeMutableBufferPointer { buffer in
            for index in 0..<heapKeeper {
                buffer[index].previous = Int32(index) - 1
                buffer[index].next = index + 1 < heapKeeper ? Int32(index) + 1 : -1
                if index + 1 < heapKeeper { Self.look(merges, buffer, index, index + 1) }
            }
            for index in 0..<heapKeeper where buffer[index].rank != Symbol.noRank {
                Self.push(&heap, buffer[index].rank, index)
            }
            while let (rank, left) = Self.pop(&heap) {
                // An entry whose rank is no longer the symbol's is of a pair that is gone.
                guard buffer[left].length >= 0, buffer[left].rank == rank else { continue }
                let right = Int(buffer[left].next)
                buffer[left].id = buffer[left].merged
                buffer[left].length += buffer[right].length
                buffer[left].next = buffer[right].next
                buffer[right].length = -1
                buffer[left].rank = Symbol.noRank
                if buffer[left].next >= 0 {
                    buffer[Int(buffer[left].next)].previous = Int32(left)
                    Self.look(merges, buffer, left, Int(buffer[left].next))
                    if buffer[left].rank != Symbol.noRank { Self.push(&heap, buffer[left].rank, left) }
                }
                if buffer[left].previous >= 0 {
                    let before = Int(buffer[left].previous)
                    Self.look(merges, buffer, before, left)
                    if buffer[before].rank != Symbol.noRank { Self.push(&heap, buffer[before].rank, before) }
                }
            }
        }
    }

    // A binary min-heap of (rank, position) packed in one word.

    private static func push(_ heap: inout [UInt64], _ rank: UInt32, _ position: Int) {
        let entry = UInt64(rank) << 32 | UInt64(position)
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent] <= entry { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    private static func pop(_ heap: inout [UInt64]) -> (rank: UInt32, position: Int)? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            var hole = 0
            while true {
                var child = hole * 2 + 1
                if child >= heap.count { break }
                if child + 1 < heap.count && heap[child + 1] < heap[child] { child += 1 }
                if last <= heap[child] { break }
                heap[hole] = heap[child]
                hole = child
            }
            heap[hole] = last
        }
        return (UInt32(top >> 32), Int(top & 0xFFFF_FFFF))
    }
}
