import Datasets
import Files
import Tokenizers
import Trainers

/// A recipe's rows: what is trained on, in batches, and what is evaluated on.
struct RunData {
    /// The examples of evaluation; empty where the recipe names none.
    let evaluation: [Example]
    /// The training examples; nil where they are streamed and nobody has counted them.
    let rows: Int?
    /// Optimizer steps of the whole run.
    let totalSteps: Int
    /// The training examples; empty where they are streamed.
    let training: () -> [Example]
    /// The batches from the first step on.
    let makeBatches: () throws -> any BatchSource

    init(_ recipe: Recipe, _ session: ModelSession, observer: @escaping RunObserver) throws {
        let longest = session.model.longestSequence
        guard recipe.dataset.maxLength <= longest else {
            throw InputError(
                "`dataset.max_length` is \(recipe.dataset.maxLength), the model reads \(longest) tokens at most",
                hint: "Set it to \(longest) or less")
        }
        if recipe.dataset.streaming {
            try self.init(streaming: recipe, session)
        } else {
            try self.init(counting: recipe, session, observer: observer)
        }
    }

    /// Reads every row before the first step.
    private init(counting recipe: Recipe, _ session: ModelSession, observer: @escaping RunObserver) throws {
        let settings = recipe.dataset
        var train = try recipe.read(settings.sources, session)
        Self.report(train, observer)
        try Self.check(train, of: recipe, session.tokenizer)
        let seed = UInt64(recipe.training.seed)
        if case .share(let share) = settings.eval {
            let parts = try train.split(evaluation: share, seed: seed)
            train = parts.train
            evaluation = parts.evaluation.examples
        } else {
            evaluation = try recipe.evaluationExamples(session)
        }
        let dataset = train
        let plan = try dataset.plan(
            size: settings.batchSize, shuffle: settings.shuffle, seed: seed,
            accumulation: recipe.training.gradientAccumulationSteps)
        rows = dataset.count
        totalSteps = recipe.training.maxSteps ?? plan.totalSteps(epochs: Double(recipe.training.epochs))
        training = { dataset.examples }
        makeBatches = { PlannedBatches(plan) { dataset[$0] } }
    }

    /// Reads rows as steps need them.
    private init(streaming recipe: Recipe, _ session: ModelSession) throws {
        guard let steps = recipe.training.maxSteps else {
            throw InputError("`dataset.streaming` needs `training.max_steps`: a stream's rows are not counted")
        }
        evaluation = try recipe.evaluationExamples(session)
        rows = nil
        totalSteps = steps
        training = { [] }
        makeBatches = {
            try StreamedSource(
                StreamedBatches(
                    sources: recipe.dataset.sources, tokenizer: session.tokenizer, renderer: session.renderer,
                    options: recipe.tokenizingOptions, size: recipe.dataset.batchSize, shuffle: recipe.dataset.shuffle,
                    seed: UInt64(recipe.training.seed), accumulation: recipe.training.gradientAccumulationSteps))
        }
    }

    /// Says what became of rows that are not trained as written.
    private static func report(_ dataset: TokenizedDataset, _ observer: RunObserver) {
        let statistics = dataset.statistics
        dataset.notes.forEach { observer(.note($0)) }
        statistics.notes.sorted { $0.key < $1.key }.forEach { observer(.note("\($0.value) rows: \($0.key)")) }
        if statistics.truncatedRows > 0 {
            observer(
                .note(
                    "\(statistics.truncatedRows) of \(statistics.rows) rows were cut to max_length, losing "
                        + "\(statistics.truncatedTokens) tokens, \(statistics.truncatedTrainedTokens) of them trained"))
        }
        for (reason, count) in statistics.droppedRows.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            observer(.note("\(count) of \(statistics.rows) rows were left out: \(reason.rawValue)"))
        }
    }

    /// Refuses data that `graft inspect` would refuse.
    private static func check(
        _ dataset: TokenizedDataset, of recipe: Recipe, _ tokenizer: Tokenizer
    ) throws {
        let problems = Inspection(
            dataset, tokenizer: tokenizer, plan: nil, rows: 0, purpose: recipe.objective.purpose
        ).problems
        guard problems.isEmpty else {
            throw InputError(
                problems.joined(separator: "; "), file: recipe.dataset.sources.map(\.path).joined(separator: ", "),
                hint: "`graft inspect` shows the rows")
        }
    }
}

extension TokenizedDataset {
    /// All examples, in order.
    var examples: [Example] { (0..<count).map { self[$0] } }
}

extension Recipe {
    var tokenizingOptions: TokenizingOptions {
        var (trainOn, predictsFirstToken) = (TrainOn?.none, false)
        if case .sft(let settings) = objective {
            (trainOn, predictsFirstToken) = (settings.trainOn, adapter?.predictsFirstToken ?? false)
        }
        return TokenizingOptions(
            trainOn: trainOn, maxLength: dataset.maxLength, overflow: dataset.overflow, purpose: objective.purpose,
            predictsFirstToken: predictsFirstToken)
    }

    fileprivate func read(_ sources: [DatasetSource], _ session: ModelSession) throws -> TokenizedDataset {
        try TokenizedDataset(
            sources: sources, tokenizer: session.tokenizer, renderer: session.renderer, options: tokenizingOptions,
            cache: dataset.cache)
    }

    /// The rows of the recipe's evaluation file, where it names one.
    fileprivate func evaluationExamples(_ session: ModelSession) throws -> [Example] {
        try dataset.evaluationSource.map { try read([$0], session).examples } ?? []
    }
}
