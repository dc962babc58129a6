import Files
import Tokenizers

/// Where tokenised rows are kept between runs.
public enum CachePolicy: Sendable, Hashable {
    /// In `$XDG_CACHE_HOME/graft` or `~/.cache/graft`.
    case standard
    /// In a folder.
    case folder(String)
    /// Nowhere.
    case none
}

/// A dataset as tokens and targets, ready to be batched.
public struct TokenizedDataset: Sendable {
    private let stores: [TokenStore]
    private let weights: [Double]
    /// Examples of the stores laid end to end that belong to this dataset, ascending.
    private let members: [Int]
    /// Where each store's examples and rows begin.
    private let firstExamples: [Int]
    private let firstRows: [Int]
    /// Things worth telling: a cache that could not be written.
    public let notes: [String]

    private init(stores: [TokenStore], weights: [Double], members: [Int], notes: [String]) {
        self.stores = stores
        self.weights = weights
        self.members = members
        self.notes = notes
        firstExamples = stores.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
        firstRows = stores.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.statistics.rows) }
    }

    /// Reads and tokenises the sources, or takes what an earlier run cached.
    ///
    /// - Parameters:
    ///   - sources: the files, with weights.
    ///   - tokenizer: the model's tokenizer.
    ///   - renderer: the model's chat template; nil where it has none, which conversations then need.
    ///   - options: mask, length and end of sequence.
    ///   - cache: where tokenised rows are kept.
    ///   - progress: called now and then while a file is tokenised, from this thread.
    /// - Throws: ``InputError`` naming file and line of the first row that cannot be read, or an empty file.
    public init(
        sources: [DatasetSource], tokenizer: Tokenizer, renderer: ChatRenderer?, options: TokenizingOptions,
        cache: CachePolicy = .standard, progress: (@Sendable (ReadingProgress) -> Void)? = nil
    ) throws {
        guard !sources.isEmpty else { throw InputError("no dataset is named") }
        let rowTokenizer = RowTokenizer(tokenizer, renderer: renderer, options: options)
        var notes: [String] = []
        var stores: [TokenStore] = []
        for source in sources {
            guard source.weight > 0, source.weight <= 1000 else {
                throw InputError(
                    "a dataset's weight is \(source.weight), expected above 0 and at most 1000", file: source.path)
            }
            let reader = SourceReader(source: source, tokenizer: rowTokenizer, progress: progress)
            stores.append(try Self.store(reader, cache, &notes))
        }
        self.init(
            stores: stores, weights: sources.map(\.weight), members: Array(0..<stores.reduce(0) { $0 + $1.count }),
            notes: notes)
    }

    private static func store(_ reader: SourceReader, _ policy: CachePolicy, _ notes: inout [String]) throws
        -> TokenStore
    {
        guard let folder = policy.folder(for: "datasets"),
            let key = try? DatasetCache.key(reader.source, reader.tokenizer)
        else {
            return try read(reader)
        }
        let cache = DatasetCache(folder: folder)
        if let store = cache.read(key) { return store }
        let store = try read(reader)
        do {
            try cache.write(store, key)
        } catch {
            notes.append("the tokenised rows could not be cached: \(error)")
        }
        return store
    }

    private static func read(_ reader: SourceReader) throws -> TokenStore {
        var store = TokenStore()
        try reader.forEachChunk { results in
            for result in results {
                store.statistics += result.statistics
                result.examples.forEach { store.append($0) }
            }
            return true
        }
        guard store.statistics.rows > 0 else { throw InputError("the dataset is empty", file: reader.source.path) }
        return store
    }

    /// The number of examples.
    public var count: Int { members.count }

    /// Tokens of each example.
    public var lengths: [Int] {
        members.map { example in
            let (store, index) = place(example)
            return stores[store].length(index)
        }
    }

    /// An example; its row counts through all sources.
    public subscript(_ index: Int) -> Example {
        let (store, inStore) = place(members[index])
        return stores[store].example(inStore, firstRow: firstRows[store])
    }

    /// The batch of some examples.
    public func batch(_ indices: [Int]) -> Batch { Batch(examples: indices.map { self[$0] }) }

    /// What became of all rows read, before any split into training and evaluation.
    public var statistics: DatasetStatistics { stores.reduce(into: DatasetStatistics()) { $0 += $1.statistics } }

    /// The sources' examples and weights.
    public var parts: [MixturePart] {
        var parts = weights.map { MixturePart(examples: [], weight: $0) }
        for (index, member) in members.enumerated() { parts[place(member).store].examples.append(index) }
        return parts
    }

    /// The batches of every epoch; see ``BatchPlan/init(lengths:parts:size:shuffle:seed:accumulation:)``.
    public func plan(size: BatchSize, shuffle: Bool = true, seed: UInt64, accumulation: Int = 1) throws -> BatchPlan {
        try BatchPlan(
            lengths: lengths, parts: parts, size: size, shuffle: shuffle, seed: seed, accumulation: accumulation)
    }

    private func place(_ example: Int) -> (store: Int, index: Int) {
        let store = (firstExamples.firstIndex { $0 > example } ?? 1) - 1
        return (store, example - firstExamples[store])
    }

    /// Holds out a share of the rows for evaluation: the rows whose keyed numbers are smallest, so that the choice depends on the seed and
    /// on nothing else.
    ///
    /// - Parameters:
    ///   - share: more than 0, less than 1; at least one row and at most all but one are held out.
    ///   - seed: the seed.
    /// - Returns: both parts; each keeps the order of the rows and the sources' weights.
    /// - Throws: ``InputError`` where there are fewer than two rows to divide.
    public func split(evaluation share: Double, seed: UInt64) throws -> (
        train: TokenizedDataset, evaluation: TokenizedDataset
    ) {
        precondition(share > 0 && share < 1, "a share of \(share)")
        let order = DataOrder(seed: seed)
        let rowOfMember = members.map { member in
            let (store, index) = place(member)
            return stores[store].rows[index] + firstRows[store]
        }
        let rows = Set(rowOfMember).map { (number: order.number(UInt64($0), stream: 0, .evaluation), row: $0) }.sorted {
            $0 < $1
        }
        guard rows.count >= 2 else {
            throw InputError(
                "a dataset of \(rows.count) usable rows cannot be divided into training and evaluation",
                hint: "Give eval a file of its own, or leave it out")
        }
        let count = min(max(1, Int((share * Double(rows.count)).rounded())), rows.count - 1)
        let held = Set(rows[..<count].map(\.row))
        func part(_ keep: (Int) -> Bool) -> TokenizedDataset {
            let kept = zip(members, rowOfMember).filter { keep($1) }.map(\.0)
            return TokenizedDataset(stores: stores, weights: weights, members: kept, notes: notes)
        }
        return (part { !held.contains($0) }, part { held.contains($0) })
    }
}
