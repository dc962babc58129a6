import Files
import Tokenizers

/// Batches of data that is too large to hold, or to read once before training: the files are read front to back, again for each
/// epoch, and shuffled and packed within windows of 1000 examples.
///
/// How many steps an epoch has is not known beforehand, so a run needs `max_steps`. The order is a function of files, options and seed: a
/// resumed run skips to its step and goes on with the same batches.
public final class StreamedBatches {
    /// The epoch, from 0, that the last step belongs to.
    public private(set) var epoch = 0
    /// What became of the rows read so far, those of later epochs counted again.
    public private(set) var statistics = DatasetStatistics()
    private let feed = WindowFeed()
    private let size: BatchSize
    private let shuffle: Bool
    private let accumulation: Int
    private let order: DataOrder
    private var windows: UInt32 = 0
    private var ready: [[Example]] = []
    /// Examples that wait for a full batch of rows.
    private var remainder: [Example] = []
    private var epochEnded = false

    /// Opens the sources.
    ///
    /// - Parameters:
    ///   - sources: the files, read in order.
    ///   - tokenizer: the model's tokenizer.
    ///   - renderer: the model's chat template, where rows are conversations.
    ///   - options: mask, length and end of sequence.
    ///   - size: rows or tokens of a micro-batch.
    ///   - shuffle: whether windows are shuffled.
    ///   - seed: the seed of the order.
    ///   - accumulation: micro-batches of one optimizer step.
    /// - Throws: ``InputError`` for weighted sources, which need the whole dataset, or a budget below the longest row.
    public init(
        sources: [DatasetSource], tokenizer: Tokenizer, renderer: ChatRenderer?, options: TokenizingOptions,
        size: BatchSize, shuffle: Bool = true, seed: UInt64, accumulation: Int = 1
    ) throws {
        guard !sources.isEmpty else { throw InputError("no dataset is named") }
        if let weighted = sources.first(where: { $0.weight != 1 }) {
            throw InputError(
                "a streamed dataset cannot be weighted", file: weighted.path, hint: "Leave out weight, or do not stream"
            )
        }
        if case .tokens(let budget) = size, budget < options.maxLength {
            throw InputError("tokens_per_batch \(budget) is less than max_length \(options.maxLength)")
        }
        self.size = size
        self.shuffle = shuffle
        self.accumulation = accumulation
        order = DataOrder(seed: seed)
        let rowTokenizer = RowTokenizer(tokenizer, renderer: renderer, options: options)
        feed.start(sources.map { SourceReader(source: $0, tokenizer: rowTokenizer) })
    }

    deinit { feed.stop() }

    /// The micro-batches of the next optimizer step; at the end of an epoch there may be fewer than the accumulation asks for.
    ///
    /// - Throws: ``InputError`` naming the row that cannot be read.
    public func nextStep() throws -> [Batch] {
        if epochEnded, ready.isEmpty {
            epochEnded = false
            epoch += 1
            windows = 0
        }
        while ready.count < accumulation, !epochEnded { try takeWindow() }
        // Only where an epoch ended exactly with its last step.
        if ready.isEmpty { return try nextStep() }
        let step = ready.prefix(accumulation).map { Batch(examples: $0) }
        ready.removeFirst(step.count)
        return step
    }

    private func takeWindow() throws {
        guard case .examples(let examples, let counts) = try feed.next() else {
            epochEnded = true
            if !remainder.isEmpty { ready.append(remainder) }
            remainder = []
            return
        }
        statistics += counts
        // Epoch and window number share the stream's 32 bits.
        let stream = UInt32(truncatingIfNeeded: epoch) << 20 ^ windows
        windows += 1
        let rows = shuffle ? order.shuffled(Array(examples.indices), stream: stream, .epoch) : Array(examples.indices)
        switch size {
        case .rows(let count):
            remainder += rows.map { examples[$0] }
            while remainder.count >= count {
                ready.append(Array(remainder.prefix(count)))
                remainder.removeFirst(count)
            }
        case .tokens(let budget):
            let bins = Packing.bins(rows, lengths: examples.map(\.tokens.count), budget: budget)
            let ordered = shuffle ? order.shuffled(bins, stream: stream, .batches) : bins
            ready += ordered.map { $0.map { examples[$0] } }
        }
    }

    static func nothingToTrain(_ readers: [SourceReader]) -> InputError {
        InputError("the dataset holds no rows to train", file: readers.first?.source.path)
    }
}
