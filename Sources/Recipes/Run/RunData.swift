import Datasets
import Files
import Tokenizers

/// A recipe's rows: what is trained on and what is evaluated on.
struct RunData {
    let train: TokenizedDataset
    let evaluation: [Example]
    let plan: BatchPlan

    init(_ recipe: Recipe, _ session: ModelSession, observer: @escaping RunObserver) throws {
        let settings = recipe.dataset
        let longest = session.model.configuration.maximumPositions
        guard settings.maxLength <= longest else {
            throw InputError(
                "`dataset.max_length` is \(settings.maxLength), the model reads \(longest) tokens at most",
                hint: "Set it to \(longest) or less")
        }
        func read(_ sources: [DatasetSource]) throws -> TokenizedDataset {
            try TokenizedDataset(
                sources: sources, tokenizer: session.tokenizer, renderer: session.renderer,
                options: recipe.tokenizingOptions, cache: settings.cache)
        }
        let all = try read(settings.sources)
        let seed = UInt64(recipe.training.seed)
        switch settings.eval {
        case .share(let share):
            let parts = try all.split(evaluation: share, seed: seed)
            train = parts.train
            evaluation = parts.evaluation.examples
        case .file:
            train = all
            evaluation = try settings.evaluationSource.map { try read([$0]).examples } ?? []
        case nil:
            train = all
            evaluation = []
        }
        try Self.report(all, session.tokenizer, observer)
        plan = try train.plan(
            size: settings.batchSize, shuffle: settings.shuffle, seed: seed,
            accumulation: recipe.training.gradientAccumulationSteps)
    }

    /// Says what became of rows that are not trained as written; nothing to train is an error.
    private static func report(_ dataset: TokenizedDataset, _ tokenizer: Tokenizer, _ observer: RunObserver) throws {
        let statistics = dataset.statistics
        dataset.notes.forEach { observer(.note($0)) }
        statistics.notes.sorted { $0.key < $1.key }.forEach { observer(.note("\($0.value) rows: \($0.key)")) }
        if statistics.truncatedRows > 0 {
            observer(
                .note(
                    "\(statistics.truncatedRows) of \(statistics.rows) rows were cut to max_length, losing \(statistics.truncatedTokens) "
                        + "tokens, \(statistics.truncatedTrainedTokens) of them trained"))
        }
        for (reason, count) in statistics.droppedRows.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            observer(.note("\(count) of \(statistics.rows) rows were left out: \(reason.rawValue)"))
        }
        let problems = Inspection(dataset, tokenizer: tokenizer, plan: nil, rows: 0).problems
        guard problems.isEmpty else {
            throw InputError(problems.joined(separator: "; "), hint: "`graft inspect` shows the rows")
        }
    }
}

extension TokenizedDataset {
    /// All examples, in order.
    var examples: [Example] { (0..<count).map { self[$0] } }
}

extension Recipe {
    var tokenizingOptions: TokenizingOptions {
        switch objective {
        case .sft(let settings):
            TokenizingOptions(trainOn: settings.trainOn, maxLength: dataset.maxLength, overflow: dataset.overflow)
        }
    }
}
