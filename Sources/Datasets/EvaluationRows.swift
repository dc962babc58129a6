import Files
import Tokenizers

/// What `graft evaluate` scores: rows as they stand, no end of sequence added, rows of fewer than two tokens skipped and counted.
public struct EvaluationRows: Sendable {
    /// The sequences; with a stride a long row gives several, each token a target in one of them.
    public private(set) var examples: [Example] = []
    /// Rows of which something is scored.
    public private(set) var rows = 0
    /// Rows of which nothing is: under two tokens, or nothing to score within the length.
    public private(set) var skipped = 0
    /// Tokens beyond the length that are not scored.
    public private(set) var truncatedTokens = 0
    /// Things worth telling, with the number of rows.
    public private(set) var notes: [String: Int] = [:]

    /// Reads a file of texts, conversations or prompt/completion rows.
    ///
    /// - Parameters:
    ///   - source: the file.
    ///   - tokenizer: the model's tokenizer.
    ///   - renderer: its chat template, for conversations.
    ///   - maxLength: where rows are cut; a BOS counts.
    ///   - stride: score rows longer than `maxLength` in windows that begin `stride` tokens apart, so that each token is scored once, with
    ///     at least `maxLength − stride` tokens before it.
    ///   - trainOn: which tokens count; nil: the row's default, as in training.
    ///   - progress: called now and then.
    /// - Throws: ``InputError`` naming file and line of a row that cannot be read, an empty file, or a stride that leaves tokens unscored.
    public init(
        _ source: DatasetSource, tokenizer: Tokenizer, renderer: ChatRenderer?, maxLength: Int, stride: Int? = nil,
        trainOn: TrainOn? = nil, progress: (@Sendable (ReadingProgress) -> Void)? = nil
    ) throws {
        guard maxLength >= 2 else {
            throw InputError("max-length \(maxLength): two tokens are the least that can be scored")
        }
        if let stride, !(1..<maxLength).contains(stride) {
            throw InputError("stride \(stride): expected 1 to \(maxLength - 1), less than max-length")
        }
        let options = TokenizingOptions(
            trainOn: trainOn, maxLength: stride == nil ? maxLength : Int.max, overflow: .truncate, appendsEOS: false)
        let rowTokenizer = RowTokenizer(tokenizer, renderer: renderer, options: options)
        let reader = SourceReader(source: source, tokenizer: rowTokenizer, progress: progress)
        var statistics = DatasetStatistics()
        try reader.forEachChunk { results in
            for result in results {
                statistics += result.statistics
                guard let stride else {
                    examples += result.examples
                    continue
                }
                examples += result.examples.flatMap { Self.windows(of: $0, length: maxLength, stride: stride) }
            }
            return true
        }
        guard statistics.rows > 0 else { throw InputError("the dataset is empty", file: source.path) }
        rows = statistics.keptRows
        skipped = statistics.rows - statistics.keptRows
        truncatedTokens = statistics.truncatedTokens
        notes = statistics.notes
    }

    /// Windows of `length` tokens, `stride` apart; the targets of each are those no window before it had.
    static func windows(of example: Example, length: Int, stride: Int) -> [Example] {
        var windows: [Example] = []
        var begin = 0
        var scored = 0
        while scored < example.tokens.count {
            let end = min(begin + length, example.tokens.count)
            let targets = (begin..<end).map { $0 >= scored && $0 > begin && example.isTarget[$0] }
            if targets.contains(true) {
                windows.append(
                    Example(
                        tokens: Array(example.tokens[begin..<end]), isTarget: targets, row: example.row,
                        start: example.start + begin))
            }
            scored = end
            begin += stride
        }
        return windows
    }
}
