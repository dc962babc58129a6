import Adapters
import Datasets
import Files
import Foundation
import Layers
import Models
import Tensors
import Trainers

/// One training run, from a recipe to a folder: the page on which model, adapter, data and objective meet.
struct Run {
    let recipe: Recipe
    let existing: ExistingRun
    /// The signal that asks the run to save and stop, once it has come.
    let stopSignal: () -> Int32?
    let observer: RunObserver

    /// Trains.
    ///
    /// - Returns: what the run came to.
    /// - Throws: ``InputError`` for a fault in what it reads, ``RunError`` for a run that cannot go on, ``RunStopped`` after a signal.
    func callAsFunction() throws -> RunSummary {
        let start = ContinuousClock.now
        Device.cpu.threads = recipe.training.threads
        try checkOutput()
        let folder = try RunFolder(recipe.output.path, existing: existing)
        let session = try ModelSession(
            recipe.model, trainable: recipe.training.trainableParameters, task: recipe.modelTask, observer: observer)
        let weights = try TrainedWeights(recipe, session)
        let data = try RunData(recipe, session, observer: observer)
        recipe.objective.remarks.forEach { observer(.note($0)) }
        let reference = try PreferenceReference(recipe, session, weights, data, observer: observer)
        let task = try recipe.task(
            session, weights, data, reference: reference?.model, folder: folder, observer: observer)
        let fit = Fit(
            run: self, folder: folder, session: session, weights: weights, task: task, rows: data.rows,
            referenceIdentity: reference?.identity ?? [:])
        var summary = try fit()
        if case .reward = recipe.objective, !data.evaluation.isEmpty {
            summary.rewardCard = try judge(data.evaluation, session, weights, folder)
        }
        observer(.finished(path: folder.path, seconds: (ContinuousClock.now - start) / .seconds(1)))
        return summary
    }

    /// Judges a reward model by the pairs that were kept from it.
    private func judge(
        _ pairs: [Example], _ session: ModelSession, _ weights: TrainedWeights, _ folder: RunFolder
    ) throws -> RewardCard {
        let card = RewardCard(try RewardCard.judged(pairs, by: session.model, adapters: weights.active))
        try folder.write(card.json, to: "reward_card.json")
        observer(.judged(card))
        return card
    }

    /// Fails where the run would write over what it starts from.
    private func checkOutput() throws {
        func place(_ path: String) -> String? {
            guard let resolved = realpath(path, nil) else { return nil }
            defer { free(resolved) }
            return String(cString: resolved)
        }
        guard let output = place(recipe.output.path) else { return }
        var inputs = [("model.path", recipe.model.path)]
        if let start = recipe.adapter?.initFrom {
            inputs.append(("adapter.init_from", start))
        }
        if case .path(let path) = recipe.objective.reference?.model {
            inputs.append(("objective.reference", path))
        }
        inputs += (recipe.model.adapters ?? []).map { ("model.adapters", $0) }
        inputs += recipe.rewardModels.map { ("objective.rewards.path", $0.path) }
        for (key, path) in inputs where place(path) == output {
            throw InputError(
                "`output.path` is `\(key)` too: the run would write over what it starts from", file: path,
                hint: "Name another folder")
        }
    }
}

extension Recipe {
    /// What a run makes smaller; `reference` is needed by the objectives that have one.
    func objective(of model: CausalLM, reference: ReferenceModel?) -> any Objective {
        let reference = reference ?? .model(model, adapters: [])
        switch objective {
        case .sft: return SFT(model, predictsFirstToken: adapter?.predictsFirstToken ?? false)
        case .dpo(let settings): return DPO(model, reference: reference, loss: settings.pairLoss)
        case .kto(let settings):
            return KTO(model, reference: reference, loss: settings.loss, maxLength: dataset.maxLength)
        case .cpo(let settings): return CPO(model, loss: settings.loss)
        case .orpo(let settings): return ORPO(model, loss: settings.loss)
        case .ppo, .grpo, .rloo, .onlineDPO: preconditionFailure("policy optimisation has a task of its own")
        case .reward(let settings): return RewardObjective(model, loss: settings.loss)
        }
    }
}

/// What a run came to.
public struct RunSummary: Sendable {
    /// The run's folder.
    public var path: String
    /// Optimizer steps taken, those before a resumption included.
    public var steps: Int
    /// The evaluation before training; nil where there was nothing to evaluate on.
    public var before: EvaluationResult?
    /// The evaluation of the weights that were saved.
    public var after: EvaluationResult?
    /// The alarms, in the order in which they fired.
    public var alarms: [FiredAlarm]
    /// The alarm that stopped the run; nil where it went to its end.
    public var stoppedBy: FiredAlarm?
    /// What a reward model makes of the pairs that it was not trained on; nil for other runs.
    public var rewardCard: RewardCard?

    /// The summary as an object.
    public var json: JSON {
        let members: [(String, JSON)] = [
            ("path", .string(path)), ("steps", .integer(steps)), ("before", before?.json ?? nil),
            ("after", after?.json ?? nil), ("alarms", .array(alarms.map(\.json))),
            ("stopped_by", stoppedBy.map { .string($0.name) } ?? nil),
        ]
        return JSON(members: members + (rewardCard.map { [("reward_card", $0.json)] } ?? []))
    }
}
