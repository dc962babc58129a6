import Files
import Tokenizers

/// What a run would train on, before any compute: for people to look at and for scripts to stop at.
public struct Inspection: Sendable {
    /// A stretch of a row that is trained throughout or not at all.
    public struct Segment: Sendable, Hashable {
        /// Its text; bytes that are no UTF-8 by themselves appear as U+FFFD.
        public var text: String
        /// Whether it is trained.
        public var isTrained: Bool
        /// Which answer begins here, where one does: chosen, rejected, desirable or undesirable.
        public var answer: String?

        /// Makes a segment.
        public init(text: String, isTrained: Bool, answer: String? = nil) {
            self.text = text
            self.isTrained = isTrained
            self.answer = answer
        }
    }

    /// One example as the model sees it.
    public struct RenderedRow: Sendable, Hashable {
        /// The row's number in the dataset, from 0.
        public var row: Int
        /// The text, cut where training begins and ends.
        public var segments: [Segment]
        /// Its tokens.
        public var tokens: Int
        /// Its trained tokens.
        public var trainedTokens: Int
    }

    /// The first examples.
    public var rows: [RenderedRow]
    /// Rows and tokens, trained, truncated and dropped.
    public var statistics: DatasetStatistics
    /// The share of a token budget that packed batches fill in the first epoch; nil where batches count rows.
    public var packingEfficiency: Double?
    /// Micro-batches of the first epoch; nil where there is nothing to batch.
    public var batches: Int?
    /// Whether the rows are prompts alone, in which nothing is trained.
    public var isOfPrompts: Bool
    /// What makes the data unfit to train on, as sentences. Where there is one, the command ends with a non-zero code.
    public var problems: [String]
    /// What else is worth knowing of how the rows will be trained, as sentences.
    public var remarks: [String] = []

    /// Looks at a dataset.
    ///
    /// - Parameters:
    ///   - dataset: the rows to train.
    ///   - tokenizer: the model's tokenizer.
    ///   - plan: the batches; nil where there are none.
    ///   - rows: how many examples to show.
    ///   - purpose: what the rows are read for.
    public init(
        _ dataset: TokenizedDataset, tokenizer: Tokenizer, plan: BatchPlan?, rows: Int,
        purpose: RowPurpose = .supervised
    ) {
        self.rows = (0..<min(max(rows, 0), dataset.count)).map { Self.rendered(dataset[$0], tokenizer) }
        statistics = dataset.statistics
        packingEfficiency = plan?.packingEfficiency()
        batches = plan?.batches(epoch: 0).count
        isOfPrompts = purpose == .prompts
        problems = Self.problems(statistics, asksOnly: isOfPrompts)
    }

    private static func rendered(_ example: Example, _ tokenizer: Tokenizer) -> RenderedRow {
        var segments: [(bytes: [UInt8], isTrained: Bool, answer: String?)] = []
        for (index, (token, isTrained)) in zip(example.tokens, example.isTarget).enumerated() {
            let answer = example.answers.firstIndex(of: index).map { name(ofAnswer: $0, example) }
            if answer != nil || segments.last?.isTrained != isTrained { segments.append(([], isTrained, answer)) }
            segments[segments.count - 1].bytes += tokenizer.bytes(of: token)
        }
        return RenderedRow(
            row: example.row,
            segments: segments.map {
                Segment(text: String(decoding: $0.bytes, as: UTF8.self), isTrained: $0.isTrained, answer: $0.answer)
            },
            tokens: example.tokens.count, trainedTokens: example.targetCount)
    }

    private static func name(ofAnswer index: Int, _ example: Example) -> String {
        if let label = example.judgement.label { return label ? "desirable" : "undesirable" }
        return index == 0 ? "chosen" : "rejected"
    }

    /// - Parameters:
    ///   - statistics: of the rows.
    ///   - asksOnly: whether the rows are prompts, in which nothing is trained.
    /// - Returns: what is wrong, as sentences.
    private static func problems(_ statistics: DatasetStatistics, asksOnly: Bool) -> [String] {
        var problems: [String] = []
        if asksOnly ? statistics.keptRows == 0 : statistics.trainedTokens == 0 {
            let reasons = statistics.droppedRows.sorted { $0.key.rawValue < $1.key.rawValue }
                .map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
            let what = asksOnly ? "no prompt is left" : "no token is trained"
            problems.append("\(what): all \(statistics.rows) rows are dropped (\(reasons))")
        }
        if statistics.maskedRows > 0, statistics.maskedTrainedTokens == statistics.maskedPredictableTokens {
            problems.append("every token is trained, prompts too: the mask masks nothing")
        }
        if statistics.maskedRows > 0, statistics.maskedTurnEndingRows == 0 {
            problems.append(
                "no row trains the token that ends a turn: the model would not learn to stop")
        }
        if statistics.doubleBOSRows > 0 {
            problems.append("\(statistics.doubleBOSRows) of \(statistics.rows) rows begin with BOS twice")
        }
        return problems
    }
}
