import Files
import Models

extension Commands {
    /// Scores base, adapter and merged model on the same tokens.
    ///
    /// Where the base is kept in fewer bits, the merged model is scored as it was written and once more kept as the base is.
    ///
    /// - Parameters:
    ///   - settings: the base model.
    ///   - adapters: folders; several are stacked in order.
    ///   - merged: a merged model's folder or file; nil to leave it out.
    ///   - options: the rows.
    ///   - observer: takes remarks.
    /// - Returns: likelihoods, paired differences and logit differences.
    /// - Throws: ``InputError`` for anything that cannot be read, or a merged model with another vocabulary; ``RunError`` where a model
    ///   computes no numbers.
    public static func compare(
        _ settings: ModelSettings, adapters: [String], merged: String? = nil, options: ScoringOptions,
        observer: RunObserver = { _ in }
    ) throws -> Comparison {
        let settings = try settings.adopting(storageOf: adapters, observer: observer)
        let session = try ModelSession(settings, observer: observer)
        let active = try session.attach(adapters, observer: observer)
        var models = try SideBySide(session.model, options.rows(for: session, observer: observer).examples)
        try models.add("adapter", session.model, adapters: active)
        if let merged {
            var asWritten = settings
            asWritten.path = merged
            let storage = session.loaded.weights
            if storage.isQuantized { asWritten.storage = try openCheckpoint(merged).quantization ?? .f32 }
            for (name, isRequantised) in [("merged", false), ("requantised", true)] {
                guard !isRequantised || storage.isQuantized && !asWritten.storage.isQuantized else { continue }
                if isRequantised { asWritten.storage = storage }
                let other = try ModelSession(asWritten)
                guard other.model.configuration.vocabularySize == session.model.configuration.vocabularySize else {
                    throw InputError("the merged model has another vocabulary than the base", file: merged)
                }
                try models.add(name, other.model)
            }
        }
        return models.comparison
    }
}
