import Datasets
import Files
import Trainers

extension Commands {
    /// Whether a file's first row is a preference pair.
    ///
    /// - Throws: ``InputError`` where the file cannot be read.
    public static func holdsPairs(_ path: String) throws -> Bool {
        var isPair = false
        try RowFile(path).forEachRow { row in
            if case .json(let bytes) = row.content,
                let keys = try? bytes.withUnsafeBytes({ try JSON(parsing: $0) }).object?.keys
            {
                isPair = keys.contains("chosen") && keys.contains("rejected")
            }
            return false
        }
        return isPair
    }

    /// Measures how well a model, with adapters or without, tells the chosen answers of a file's pairs from the rejected ones: by its
    /// score head where there is one, with adapters by their implicit reward against the model without, else by the mean log-probability
    /// of a token.
    ///
    /// - Parameters:
    ///   - settings: the model.
    ///   - adapters: folders of adapters, active in order.
    ///   - options: the rows.
    ///   - observer: takes remarks.
    /// - Returns: accuracy and margin with standard errors.
    /// - Throws: ``InputError`` for anything that cannot be read; ``RunError`` where the model computes no numbers.
    public static func evaluatePairs(
        _ settings: ModelSettings, adapters: [String] = [], options: ScoringOptions, observer: RunObserver = { _ in }
    ) throws -> PairEvaluation {
        guard options.stride == nil, options.trainOn == nil else {
            throw InputError(
                "`--stride` and `--train-on` have no meaning for preference pairs: whole answers are compared",
                file: options.data)
        }
        let task = try settings.task(with: adapters)
        let session = try ModelSession(
            settings.adopting(storageOf: adapters, observer: observer), task: task, observer: observer)
        let active = try session.attach(adapters, observer: observer)
        if task != .languageModel { try session.requireScoreHead(of: active, in: adapters) }
        let length = try options.length(for: session)
        let rows = try TokenizedDataset(
            sources: [DatasetSource(options.data)], tokenizer: session.tokenizer, renderer: session.renderer,
            options: TokenizingOptions(
                // A reward is read where training read it: after the end of the sequence.
                maxLength: length, appendsEOS: task != .languageModel, purpose: .pairs), cache: .none)
        let statistics = rows.statistics
        for (reason, count) in statistics.droppedRows.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            observer(.note("\(count) pairs are skipped: \(reason.rawValue)"))
        }
        if statistics.truncatedRows > 0 {
            observer(.note("\(statistics.truncatedRows) pairs have answers that were cut at \(length) tokens"))
        }
        guard rows.count > 0 else { throw InputError("no pair can be compared", file: options.data) }
        let examples = (0..<rows.count).map { rows[$0] }
        guard task == .languageModel else {
            return try PairEvaluation(
                rewardsOf: examples, by: session.model, adapters: active, skipped: statistics.droppedRowCount)
        }
        let result = PairEvaluation(
            examples, of: session.model, adapters: active, skipped: statistics.droppedRowCount)
        guard result.margin.isFinite else {
            throw RunError(
                "\(settings.path): the model's likelihoods are not finite; its weights or the adapter's are damaged")
        }
        return result
    }
}
