import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import Tokenizers
import Trainers

/// Policy optimisation as a recipe asks for it: the policy with its reference and value head on one model, the prompts, and what judges
/// the answers.
struct PolicyTask {
    /// What a training loop needs of it.
    let task: TrainingTask

    init(
        _ recipe: Recipe, _ settings: RolloutSettings, _ method: any PolicyMethod, _ session: ModelSession,
        _ weights: TrainedWeights, _ data: RunData, reference: ReferenceModel?, folder: RunFolder?,
        health: HealthMonitor, observer: @escaping RunObserver
    ) throws {
        let critic = try method.valueTrunk.map { try Critic(on: $0, recipe, session, weights) }
        let prompts = try Prompts(recipe, settings, data, session)
        var compared: (model: CausalLM, adapters: [String])?
        if case .model(let model, let adapters) = reference { compared = (model, adapters) }
        let policy = Policy(
            session.model, adapters: weights.active, reference: compared, critic: critic,
            temperature: settings.temperature)
        var options = settings.options(
            for: method, shuffles: recipe.dataset.shuffle, training: recipe.training)
        options.decoding.cacheType = recipe.model.precision == .f32 ? .f32 : .bf16
        let samples = folder.map { SampleLog($0, settings) }
        let stops = try session.stopTokens().union(settings.extraStopTokens(session.tokenizer))
        let rollouts = Rollouts(
            prompts.training, evaluation: prompts.evaluation, policy: policy, options: options,
            rewards: try RewardMaking(recipe: recipe, session: session, weights: weights, observer: observer).mixture(
                of: settings), credit: method.credit, controller: method.controller,
            stopTokens: stops,
            text: { session.tokenizer.decode($0.filter { !stops.contains($0) }, skipSpecialTokens: true) },
            didRollOut: { rollout, moment in
                try samples?.add(rollout, at: moment)
                observer(.rolledOut(RolloutReport(rollout, at: moment)))
            }, alarm: { health.raise("rollout", $0) })
        task = TrainingTask(
            objective: PolicyOptimization(
                policy, rollouts, loss: method.loss(longestAnswer: settings.longestAnswer)),
            trained: policy.trained,
            steps: recipe.training.maxSteps
                ?? settings.steps(prompts: prompts.training.count, epochs: recipe.training.epochs),
            evaluation: prompts.evaluation.enumerated().map {
                Example(tokens: $1.tokens, isTarget: $1.tokens.map { _ in false }, row: $0)
            },
            health: health, makeBatches: { rollouts }, sync: { try samples?.sync() },
            save: { folder in try critic?.save(to: folder, session, weights) })
    }

    /// The prompts of a run, with what their rows say.
    private struct Prompts {
        let training: [RolloutPrompt]
        let evaluation: [RolloutPrompt]

        init(_ recipe: Recipe, _ settings: RolloutSettings, _ data: RunData, _ session: ModelSession) throws {
            let rows = try PromptRow.read(recipe.dataset.sources)
            let others = try recipe.dataset.evaluationSource.map { try PromptRow.read([$0]) }
            training = data.training().map { RolloutPrompt($0, rows) }
            evaluation = data.evaluation.map { RolloutPrompt($0, others ?? rows) }
            let (read, asked) = (session.model.longestSequence, (training + evaluation).map(\.tokens.count).max() ?? 0)
            guard asked + settings.longestAnswer <= read else {
                throw InputError(
                    "a prompt of \(asked) tokens with an answer of \(settings.longestAnswer) is more than the \(read) that "
                        + "the model reads",
                    hint: "Set dataset.max_length to \(max(2, read - settings.longestAnswer + 1))")
            }
            if settings.rewards.contains(where: \.reward.needsReference),
                let bare = (training + evaluation).first(where: { $0.reference == nil })
            {
                throw InputError(
                    "the reward exact_match needs a `reference` in every row: the prompt \"\(bare.text.prefix(60))\" has none",
                    hint: "`dataset.columns: { reference: <column> }` names the column that holds it")
            }
        }
    }
}

extension RolloutPrompt {
    fileprivate init(_ example: Example, _ rows: [PromptRow]) {
        self.init(tokens: example.tokens, text: rows[example.row].text, reference: rows[example.row].reference)
    }
}

extension RolloutSettings {
    /// The ids of `stop_tokens`.
    ///
    /// - Throws: `InputError` for a text that is no single token.
    fileprivate func extraStopTokens(_ tokenizer: Tokenizer) throws -> [Int32] {
        try (stopTokens ?? []).map { text in
            let ids = try tokenizer.encode(text)
            guard ids.count == 1 else {
                throw InputError(
                    "`objective.stop_tokens`: \"\(text)\" is \(ids.count) tokens of this model, not one")
            }
            return ids[0]
        }
    }
}
