import Datasets
import Files

extension Commands {
    /// Runs a recipe: evaluates, trains, evaluates again, saves.
    ///
    /// - Parameters:
    ///   - recipe: what to do.
    ///   - existing: what becomes of a run that the output folder holds.
    ///   - stopSignal: the signal that asks to save and stop, once it has come.
    ///   - observer: takes what happens on the way.
    /// - Returns: what the run came to.
    /// - Throws: ``InputError`` before any compute for a fault in what is read; ``RunError``; ``RunStopped`` after a signal.
    public static func train(
        _ recipe: Recipe, existing: ExistingRun = .refuse, stopSignal: @escaping () -> Int32? = { nil },
        observer: @escaping RunObserver = { _ in }
    ) throws -> RunSummary {
        try Run(recipe: recipe, existing: existing, stopSignal: stopSignal, observer: observer)()
    }

    /// Looks at what a recipe would train on, before any compute: what `dataset.eval` holds back is not shown.
    ///
    /// - Parameters:
    ///   - recipe: what would be trained.
    ///   - rows: how many rows to render.
    /// - Returns: rendered rows, counts, and what makes the data unfit to train on.
    /// - Throws: ``InputError`` for rows that cannot be read.
    public static func inspect(_ recipe: Recipe, rows: Int = 3) throws -> Inspection {
        let session = try TokenizerSession(recipe.model)
        var dataset = try TokenizedDataset(
            sources: recipe.dataset.sources, tokenizer: session.tokenizer, renderer: session.renderer,
            options: recipe.tokenizingOptions, cache: recipe.dataset.cache)
        // Too few rows to divide are shown as they are; a run says that they are too few.
        if case .share(let share) = recipe.dataset.eval,
            let parts = try? dataset.split(evaluation: share, seed: UInt64(recipe.training.seed))
        {
            dataset = parts.train
        }
        let plan =
            dataset.count == 0 || recipe.objective.policy != nil
            ? nil
            : try dataset.plan(
                size: recipe.dataset.batchSize, shuffle: recipe.dataset.shuffle, seed: UInt64(recipe.training.seed),
                accumulation: recipe.training.gradientAccumulationSteps)
        var inspection = Inspection(
            dataset, tokenizer: session.tokenizer, plan: plan, rows: rows, purpose: recipe.objective.purpose)
        inspection.remarks = recipe.objective.remarks
        return inspection
    }
}
