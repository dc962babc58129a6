import Adapters
import Files
import Trainers

/// What a resumed run must agree with: everything that decides the numbers.
///
/// Free to differ: threads, where and when results are written, when evaluation happens, what raises alarms,
/// and a larger number of steps as long as the rates of the steps already taken stay what they were.
struct RunIdentity {
    private static let free: Set<String> = [
        "model.path", "dataset.cache", "training.threads", "training.eval_steps", "training.max_steps",
        "training.epochs",
        "training.early_stopping_patience", "training.early_stopping_threshold", "training.keep_best",
        "objective.precompute_ref_log_probs",
    ]

    /// Each part under its key.
    let parts: [String: String]

    init(
        _ recipe: Recipe, _ session: ModelSession, baseHash: String, reference: [String: String] = [:]
    ) throws {
        var parts = recipe.entries.reduce(into: [String: String]()) { parts, entry in
            let isFree = ["health.", "output."].contains { entry.keyPath.hasPrefix($0) }
            if !isFree, !Self.free.contains(entry.keyPath) {
                parts[entry.keyPath] = entry.value
            }
        }
        parts["the base model's weights"] = baseHash
        parts.merge(reference) { $1 }
        parts["the tokenizer"] = session.tokenizer.contentHash
        parts["the chat template"] = session.templateHash
        for path in recipe.model.adapters ?? [] {
            parts["the adapter \(path)"] = try [AdapterFolder.weightsName, AdapterFolder.configurationName].map {
                try ContentHash.ofFile(path + "/" + $0)
            }.joined(separator: " ")
        }
        for reward in recipe.rewardModels { parts["the reward model \(reward.path)"] = try reward.contentHash() }
        for source in recipe.dataset.sources + (recipe.dataset.evaluationSource.map { [$0] } ?? []) {
            parts["the rows of \(source.path)"] = try ContentHash.ofFile(source.path)
        }
        self.parts = parts
    }

    /// Fails where a checkpoint was made by a run that computes something else.
    func check(against checkpoint: TrainingCheckpoint) throws {
        let keys = Set(parts.keys).union(checkpoint.identity.keys).sorted()
        for key in keys where parts[key] != checkpoint.identity[key] && key != Self.scheduleKey {
            let (before, now) = (checkpoint.identity[key], parts[key])
            let change = key.contains(" ") ? "" : ": \(before ?? "absent") then, \(now ?? "absent") now"
            throw InputError(
                "the run cannot be resumed, because \(key.contains(" ") ? key : "`\(key)`") changed\(change)",
                file: checkpoint.path, hint: "Change it back, or start anew with --overwrite")
        }
    }

    /// Under which the schedule's length is recorded, to be compared by the rates it gives.
    static let scheduleKey = "steps of the whole run"

    /// What a checkpoint records.
    func recorded(totalSteps: Int) -> [String: String] {
        parts.merging([Self.scheduleKey: String(totalSteps)]) { $1 }
    }

    /// Fails where another number of steps would have given other rates in the steps already taken.
    static func checkSchedule(_ checkpoint: TrainingCheckpoint, now: Schedule, before: (Int) throws -> Schedule) throws
    {
        guard let total = checkpoint.identity[scheduleKey].flatMap(Int.init), total != now.totalSteps else { return }
        let earlier = try before(total)
        let taken = checkpoint.state.step
        guard now.totalSteps >= taken else {
            throw InputError(
                "the run cannot be resumed with \(now.totalSteps) steps: \(taken) are taken already",
                file: checkpoint.path,
                hint: "Ask for \(taken) or more")
        }
        guard (0..<taken).allSatisfy({ earlier.factor($0) == now.factor($0) }) else {
            throw InputError(
                "the run cannot be resumed with \(now.totalSteps) steps instead of \(total), because the rates of the \(taken) steps "
                    + "already taken would have been others", file: checkpoint.path,
                hint: "A constant schedule can be prolonged; others cannot")
        }
    }
}
