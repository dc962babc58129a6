/// Best-fit-decreasing packing: each row, longest first, goes into the bin that it leaves fullest; a new bin where none has room.
package enum Packing {
    /// Rows beyond this many are packed apart, so that an epoch's order stays close to its permutation and packing stays linear.
    static let window = 1000

    /// Packs rows into bins of at most `budget` tokens.
    ///
    /// - Parameters:
    ///   - rows: indices into `lengths`, in the epoch's order.
    ///   - lengths: tokens of each row, each at most `budget`.
    ///   - budget: tokens a bin holds.
    /// - Returns: the bins, each a list of rows. Ties are broken by the order given, so equal input gives equal bins.
    package static func bins(_ rows: [Int], lengths: [Int], budget: Int) -> [[Int]] {
        stride(from: 0, to: rows.count, by: window).flatMap { start in
            binsOfWindow(rows[start..<min(start + window, rows.count)], lengths: lengths, budget: budget)
        }
    }

    private static func binsOfWindow(_ rows: ArraySlice<Int>, lengths: [Int], budget: Int) -> [[Int]] {
        let decreasing = rows.enumerated().sorted {
            (lengths[$1.element], $0.offset) < (lengths[$0.element], $1.offset)
        }
        var bins: [[Int]] = []
        // Bins with room left, by room; among equals the oldest first.
        var open: [(room: Int, bin: Int)] = []
        for (_, row) in decreasing {
            let length = lengths[row]
            precondition(length <= budget, "a row of \(length) tokens in bins of \(budget)")
            var room = budget
            let best = firstIndex(in: open) { $0.room >= length }
            let bin: Int
            if best < open.count {
                (room, bin) = open.remove(at: best)
                bins[bin].append(row)
            } else {
                bin = bins.count
                bins.append([row])
            }
            room -= length
            if room > 0 { open.insert((room, bin), at: firstIndex(in: open) { $0.room > room }) }
        }
        return bins
    }

    /// The first index at which a predicate that turns true once holds, by bisection.
    private static func firstIndex<Element>(in list: [Element], where holds: (Element) -> Bool) -> Int {
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if holds(list[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
