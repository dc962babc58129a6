import Adapters
import Datasets
import Files
import Foundation
import Models
import Tensors
import Trainers

/// How close the logits of a written model must be to those of the model with its adapters on.
enum WritingTolerance {
    /// No logit further off than 1e-3: f32.
    case logits
    /// No more than 1e-3 nats of mean KL a token: f16 and bf16. Of rewards no more than 0.05 in the mean.
    case likelihoods
    /// Types that change the numbers by design.
    case none

    /// Of rewards, whose differences are log-odds, 0.05 in the mean is about a percent of probability.
    func accepts(_ difference: LogitDifference, isReward: Bool) -> Bool {
        switch self {
        case .logits: difference.maximum <= 1e-3
        case .likelihoods where isReward: difference.mean <= 0.05
        case .likelihoods: difference.meanKL <= 1e-3
        case .none: difference.maximum.isFinite
        }
    }
}

/// Loads a model, folds adapters into it, writes it beside the output, reads that back, compares logits, and moves it into place.
struct VerifiedWriting {
    /// The base model, its storage settled.
    let settings: ModelSettings
    /// Folders, merged in order; may be none.
    let adapters: [String]
    /// What to write; must not exist.
    let output: String
    let tolerance: WritingTolerance
    /// Whether a model that is not close is written all the same.
    let force: Bool
    /// Whether a reward model can be written; else it is an error.
    var writesRewardModels = false

    /// What came of it.
    struct Outcome {
        var output: String
        /// The layers that the adapters changed.
        var layers: Int
        /// The written model's logits against those of the model with its adapters on.
        var logits: LogitDifference
        /// Whether those are rewards.
        var isReward: Bool
        var isVerified: Bool
        var comparison: Comparison?
    }

    /// Writes.
    ///
    /// - Parameters:
    ///   - rows: on what base, adapter, merged and re-quantised model are compared; nil to leave that out.
    ///   - observer: takes remarks.
    ///   - write: writes the model to a path.
    ///   - finish: adds to what was written, before it gets its name.
    /// - Returns: what `finish` makes of the outcome.
    /// - Throws: ``InputError`` for anything that cannot be read or merged; ``RunError`` for a model that is refused or cannot be written.
    func callAsFunction<Result>(
        _ rows: ScoringOptions? = nil, observer: RunObserver, _ write: (ModelSession, String) throws -> Void,
        finish: (Outcome, String) throws -> Result
    ) throws -> Result {
        try Commands.checkMergeable(adapters)
        let task = writesRewardModels ? try settings.task(with: adapters) : .languageModel
        let session = try ModelSession(settings, task: task)
        if task != .languageModel, rows != nil {
            throw InputError(
                "a reward model has no likelihoods to compare", file: settings.path,
                hint: "`graft evaluate` scores preference pairs with the adapter and with what is written")
        }
        if let remark = remark(session.loaded.weights) { observer(.note(remark)) }
        let active = try session.attach(adapters, observer: observer)
        if task != .languageModel { try session.requireScoreHead(of: active, in: adapters) }
        let probe = try Self.probe(session)
        let adapted = LogitRecord(session.model, adapters: active, probe)
        var models = try rows.map { rows in
            try SideBySide(session.model, rows.rows(for: session, observer: observer).examples)
        }
        try models?.add("adapter", session.model, adapters: active)
        let layers = try mergeAdapters(named: active, in: session.model)
        // What is folded in must be what the adapters compute, whatever becomes of it on disk.
        if tolerance == .none, !adapters.isEmpty {
            try check(adapted.difference(LogitRecord(session.model, adapters: [], probe)), .logits, "merged", task)
        }
        let temporary = output + ".partial"
        try? FileManager.default.removeItem(atPath: temporary)
        do {
            try write(session, temporary)
            let written = try load(temporary, task: task)
            let logits = adapted.difference(LogitRecord(written.model, adapters: [], probe))
            let isVerified = try check(logits, tolerance, "written", task)
            try compare(&models, session, written, temporary)
            let result = try finish(
                Outcome(
                    output: output, layers: layers.count, logits: logits, isReward: task != .languageModel,
                    isVerified: isVerified,
                    comparison: models?.comparison), temporary)
            guard rename(temporary, output) == 0 else {
                throw RunError("cannot write \(output): \(String(cString: strerror(errno)))")
            }
            return result
        } catch {
            try? FileManager.default.removeItem(atPath: temporary)
            throw error
        }
    }

    private func remark(_ storage: DType) -> String? {
        guard storage.isQuantized else { return nil }
        let numbers = "the numbers that \(storage.inWords) weights stand for"
        return adapters.isEmpty
            ? "written from \(numbers)" : "merged into \(numbers), as the adapter's training saw them"
    }

    /// Whether logits are close enough; fails where they are not and nobody forces it.
    @discardableResult
    private func check(
        _ logits: LogitDifference, _ tolerance: WritingTolerance, _ which: String, _ task: ModelTask
    ) throws -> Bool {
        let isReward = task != .languageModel
        if tolerance.accepts(logits, isReward: isReward) { return true }
        guard !force else { return false }
        let (what, whose) = adapters.isEmpty ? ("export", "model's") : ("merge", "adapter's")
        let differ =
            isReward
            ? "rewards differ from the \(whose) by up to \(logits.maximum), \(logits.mean) in the mean"
            : "logits differ from the \(whose) by up to \(logits.maximum), \(logits.meanKL) nats a token"
        throw RunError("the \(what) is refused: the \(which) model's \(differ); --force writes it all the same")
    }

    /// What was written, kept as the file holds it.
    private func load(_ path: String, task: ModelTask = .languageModel) throws -> LoadedModel {
        try ModelRegistry.load(path, weights: openCheckpoint(path).quantization ?? .f32, task: task)
    }

    /// The merged model, and where the base or the file is in fewer bits the re-quantised one.
    private func compare(
        _ models: inout SideBySide?, _ session: ModelSession, _ written: LoadedModel, _ path: String
    ) throws {
        guard models != nil else { return }
        if written.weights.isQuantized {
            try models?.add("merged", session.model)
            try models?.add("requantised", written.model)
        } else {
            try models?.add("merged", written.model)
            guard session.loaded.weights.isQuantized else { return }
            let again = try ModelRegistry.load(
                path, weights: session.loaded.weights, skipping: settings.skipModules)
            try models?.add("requantised", again.model)
        }
    }

    /// Texts of several kinds, templated where the model has a template, on which logits are compared.
    private static func probe(_ session: ModelSession) throws -> [[Int32]] {
        let texts = [
            "The tide turned at four in the morning, and with it the wind; by noon the harbour was empty again.",
            "def area(radius):\n    return 3.14159 * radius ** 2\n\nprint(area(2.5))  # 19.63",
            "¿Cuántos días tiene un año bisiesto? 366. Und im Deutschen: dreihundertsechsundsechzig. 閏年は366日です。",
        ]
        var sequences = try texts.map { try session.tokenizer.encode($0, addSpecialTokens: true) }
        if let renderer = session.renderer {
            let prompt = try renderer.prompt([Message(role: "user", content: .string(texts[0]))])
            sequences.append(try session.tokenizer.encode(prompt))
        }
        return sequences
    }
}

extension Commands {
    /// Refuses adapters of methods that are no change of weights.
    static func checkMergeable(_ adapters: [String]) throws {
        for path in adapters {
            guard let refusal = type(of: try AdapterFolder(path).configuration).mergeRefusal else { continue }
            throw InputError(refusal, file: path, hint: "evaluate, generate, chat and compare take it with --adapter")
        }
    }

    /// The name of an output that does not exist yet.
    static func freeName(_ path: String) throws -> String {
        let output = try outputName(path)
        guard case .missing = PathKind(output) else {
            throw InputError("the output exists already", file: output, hint: "Name another, or remove it")
        }
        return output
    }

    /// A name without slashes at its end, so that other names can be made from it.
    private static func outputName(_ path: String) throws -> String {
        let name = String(path.reversed().drop { $0 == "/" }.reversed())
        guard !name.isEmpty else {
            throw InputError("`--output` names no folder or file that could be made: \"\(path)\"")
        }
        return name
    }
}
