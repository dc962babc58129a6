import Datasets
import Files
import Trainers

/// What a command that scores rows needs to know.
public struct ScoringOptions: Sendable {
    /// The rows' file.
    public var data: String
    /// Where rows are cut, in tokens; nil for the model's context, 2048 at most.
    public var maxLength: Int?
    /// The tokens between the windows in which longer rows are scored; nil to cut them.
    public var stride: Int?
    /// Which tokens count; nil for the rows' default.
    public var trainOn: TrainOn?

    /// Makes options.
    public init(data: String, maxLength: Int? = nil, stride: Int? = nil, trainOn: TrainOn? = nil) {
        self.data = data
        self.maxLength = maxLength
        self.stride = stride
        self.trainOn = trainOn
    }

    /// Makes options from a command's flags.
    ///
    /// - Throws: ``InputError`` for a word that is no mask, or a length below two tokens.
    public init(data: String, maxLength: Int?, stride: Int?, trainOn: String?) throws {
        let mask = try trainOn.map { try TrainOn(reading: RecipeNode(.string($0)), as: "--train-on") }
        self.init(data: data, maxLength: maxLength, stride: stride, trainOn: mask)
    }

    /// The length that rows are cut at where no other was asked for.
    static let defaultLength = 2048

    /// Where rows are cut.
    func length(for session: ModelSession) throws -> Int {
        let longest = session.model.longestSequence
        guard (maxLength ?? 0) <= longest else {
            throw InputError("--max-length \(maxLength ?? 0): the model reads \(longest) tokens at most")
        }
        let length = maxLength ?? min(longest, Self.defaultLength)
        guard length >= 2 else { throw InputError("max-length \(length): two tokens are the least that can be scored") }
        return length
    }

    func rows(for session: ModelSession, observer: RunObserver) throws -> EvaluationRows {
        let rows = try EvaluationRows(
            DatasetSource(data), tokenizer: session.tokenizer, renderer: session.renderer,
            maxLength: length(for: session), stride: stride, trainOn: trainOn)
        rows.notes.sorted { $0.key < $1.key }.forEach { observer(.note("\($0.value) rows: \($0.key)")) }
        if rows.skipped > 0 { observer(.note("\(rows.skipped) rows have nothing to score and are skipped")) }
        if rows.truncatedTokens > 0 {
            observer(.note("\(rows.truncatedTokens) tokens beyond the length are not scored; --stride scores them"))
        }
        guard !rows.examples.isEmpty else { throw InputError("no row has a token to score", file: data) }
        return rows
    }
}

extension Commands {
    /// Measures how likely a model, with adapters or without, finds the rows of a file.
    ///
    /// - Parameters:
    ///   - settings: the model.
    ///   - adapters: folders of adapters, active in order.
    ///   - options: the rows.
    ///   - observer: takes remarks.
    /// - Returns: the mean negative log-likelihood and perplexity with standard errors clustered by row.
    /// - Throws: ``InputError`` for anything that cannot be read; ``RunError`` where the model computes no numbers.
    public static func evaluate(
        _ settings: ModelSettings, adapters: [String] = [], options: ScoringOptions, observer: RunObserver = { _ in }
    ) throws -> EvaluationResult {
        let session = try ModelSession(
            settings.adopting(storageOf: adapters, observer: observer), observer: observer)
        let active = try session.attach(adapters, observer: observer)
        let rows = try options.rows(for: session, observer: observer)
        let start = ContinuousClock.now
        let result = Evaluator(session.model, adapters: active).evaluate(rows.examples, skipped: rows.skipped)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        observer(.scored(tokens: result.tokens, seconds: seconds))
        guard result.nll.isFinite else {
            throw RunError(
                "\(settings.path): the model's likelihoods are not finite; its weights or the adapter's are damaged")
        }
        return result
    }
}
