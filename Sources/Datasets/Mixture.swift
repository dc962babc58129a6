/// A source's share of the examples: a range of them and how often an epoch takes each.
public struct MixturePart: Sendable, Hashable {
    /// The source's examples, as indices into the dataset.
    public var examples: [Int]
    /// 1: every example once an epoch; 0.5: half of them; 2: each twice.
    public var weight: Double

    /// Makes a part.
    public init(examples: [Int], weight: Double = 1) {
        precondition(weight > 0 && weight.isFinite, "a source's weight is \(weight), expected more than 0")
        self.examples = examples
        self.weight = weight
    }

    /// How many examples an epoch takes: weight × count, rounded, at least one of a source that has any.
    var examplesPerEpoch: Int {
        examples.isEmpty ? 0 : max(1, Int((weight * Double(examples.count)).rounded()))
    }

    /// The examples of an epoch, in no order that matters where `shuffle` is on, else in the file's order.
    ///
    /// The source is an endless row of permutations, each holding every example once; epoch e takes the next
    /// ``examplesPerEpoch`` of it. So two epochs at weight 0.5 see every example once.
    func examples(epoch: Int, part: Int, order: DataOrder, shuffle: Bool) -> [Int] {
        guard !examples.isEmpty else { return [] }
        var taken: [Int] = []
        var next = epoch * examplesPerEpoch
        let end = next + examplesPerEpoch
        while next < end {
            let round = next / examples.count
            let within = (next % examples.count)..<min(examples.count, end - round * examples.count)
            if within.count == examples.count {
                taken += examples
            } else {
                // The part number stands in the stream's high byte, so that sources of one size differ.
                let stream = UInt32(truncatingIfNeeded: round) | UInt32(truncatingIfNeeded: part) << 24
                let positions = order.shuffled(Array(examples.indices), stream: stream, .mixture)[within]
                taken += (shuffle ? Array(positions) : positions.sorted()).map { examples[$0] }
            }
            next += within.count
        }
        return taken
    }
}
