import Files

/// How large a micro-batch is.
public enum BatchSize: Sendable, Hashable {
    /// So many rows, in order.
    case rows(Int)
    /// At most so many tokens, filled by best-fit-decreasing packing.
    case tokens(Int)
}

/// Which rows stand in which micro-batch of which epoch: a function of lengths, seed and epoch alone.
///
/// Everything is known before the first step. Batches and accumulation groups never cross an epoch; an epoch's last batch and last
/// group may be smaller and are kept.
public struct BatchPlan: Sendable {
    private let lengths: [Int]
    private let parts: [MixturePart]
    private let size: BatchSize
    private let shuffle: Bool
    private let accumulation: Int
    private let order: DataOrder

    /// Makes a plan.
    ///
    /// - Parameters:
    ///   - lengths: tokens of each example.
    ///   - parts: the sources and their weights; nil: one source with every example once an epoch.
    ///   - size: rows or tokens of a micro-batch.
    ///   - shuffle: whether an epoch is a permutation; off: the order of the files (packing still sorts within windows).
    ///   - seed: the seed of all orders.
    ///   - accumulation: micro-batches of one optimizer step.
    /// - Throws: ``InputError`` where there is nothing to train, or an example is longer than the token budget.
    public init(
        lengths: [Int], parts: [MixturePart]? = nil, size: BatchSize, shuffle: Bool = true, seed: UInt64,
        accumulation: Int = 1
    ) throws {
        precondition(accumulation >= 1, "\(accumulation) micro-batches a step")
        self.lengths = lengths
        self.parts = parts ?? [MixturePart(examples: Array(lengths.indices))]
        self.size = size
        self.shuffle = shuffle
        self.accumulation = accumulation
        order = DataOrder(seed: seed)
        guard self.parts.contains(where: { !$0.examples.isEmpty }) else {
            throw InputError("the dataset holds no rows to train")
        }
        switch size {
        case .rows(let count): precondition(count >= 1, "\(count) rows a batch")
        case .tokens(let budget):
            if let longest = lengths.max(), longest > budget {
                throw InputError(
                    "a row of \(longest) tokens does not fit a batch of \(budget)",
                    hint: "Set tokens_per_batch to at least max_length")
            }
        }
    }

    /// The micro-batches of an epoch (from 0), each a list of examples.
    public func batches(epoch: Int) -> [[Int]] {
        let stream = UInt32(truncatingIfNeeded: epoch)
        var rows = parts.enumerated().flatMap { index, part in
            part.examples(epoch: epoch, part: index, order: order, shuffle: shuffle)
        }
        if shuffle { rows = order.shuffled(rows, stream: stream, .epoch) }
        switch size {
        case .rows(let count):
            return stride(from: 0, to: rows.count, by: count).map { Array(rows[$0..<min($0 + count, rows.count)]) }
        case .tokens(let budget):
            let bins = Packing.bins(rows, lengths: lengths, budget: budget)
            return shuffle ? order.shuffled(bins, stream: stream, .batches) : bins
        }
    }

    /// The optimizer steps of an epoch, each a list of micro-batches.
    public func steps(epoch: Int) -> [[[Int]]] {
        let batches = batches(epoch: epoch)
        return stride(from: 0, to: batches.count, by: accumulation).map {
            Array(batches[$0..<min($0 + accumulation, batches.count)])
        }
    }

    /// How many optimizer steps an epoch takes. Packing makes it depend on the epoch's permutation.
    public func stepCount(epoch: Int) -> Int {
        (batchCount(epoch: epoch) + accumulation - 1) / accumulation
    }

    private func batchCount(epoch: Int) -> Int {
        guard case .rows(let count) = size else { return batches(epoch: epoch).count }
        return (rowsPerEpoch + count - 1) / count
    }

    /// How many examples an epoch takes, those taken twice counted twice.
    public var rowsPerEpoch: Int { parts.reduce(0) { $0 + $1.examplesPerEpoch } }

    /// How many optimizer steps so many epochs take; of a fractional epoch the first steps, at least one.
    public func totalSteps(epochs: Double) -> Int {
        precondition(epochs > 0 && epochs < 1e9, "\(epochs) epochs")
        let whole = Int(epochs)
        let fraction = epochs - Double(whole)
        let full: Int
        switch size {
        case .rows: full = whole * stepCount(epoch: 0)
        case .tokens: full = (0..<whole).reduce(0) { $0 + stepCount(epoch: $1) }
        }
        guard fraction > 0 else { return full }
        return full + max(1, Int((fraction * Double(stepCount(epoch: whole))).rounded(.up)))
    }

    /// Of the room that an epoch's batches have under the token budget, the share that holds tokens; nil where rows are counted.
    public func packingEfficiency(epoch: Int = 0) -> Double? {
        guard case .tokens(let budget) = size else { return nil }
        let batches = batches(epoch: epoch)
        let tokens = batches.reduce(0) { $0 + $1.reduce(0) { $0 + lengths[$1] } }
        return Double(tokens) / (Double(batches.count) * Double(budget))
    }
}
