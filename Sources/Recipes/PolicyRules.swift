import Files
import Foundation
import Trainers

extension RecipeRules {
    /// What the keys of policy optimisation demand of each other and of the rest of the recipe.
    func checkPolicy(_ recipe: Recipe) throws {
        guard let settings = recipe.objective.policy else { return }
        try checkRows(recipe)
        try checkRollouts(settings.rollouts)
        try checkRewards(settings.rollouts.rewards)
        if settings.method.kl.target == nil, settings.method.kl.horizon != KLSettings(coefficient: 0).horizon {
            throw fault("objective.kl_horizon", "`objective.kl_horizon` needs `objective.kl_target`")
        }
        let answers = settings.rollouts.batchSize * settings.method.answersPerPrompt
        if settings.method.kl.target != nil, settings.method.kl.horizon < Double(answers) / 2 {
            throw fault(
                "objective.kl_horizon",
                "`objective.kl_horizon` is less than half of the \(answers) answers of a rollout: the coefficient would leap"
            )
        }
        if settings.method.kl.target != nil, settings.method.kl.coefficient == 0 {
            throw fault(
                "objective.kl_target", "`objective.kl_target` steers a coefficient, which must begin above 0",
                hint: "`kl_coef` of ppo, `beta` of the others")
        }
        if case .own = settings.method.valueTrunk, recipe.adapter == nil {
            throw fault(
                "objective.value_adapter", "`objective.value_adapter` needs an `adapter` section, whose settings it has"
            )
        }
        if let ppo = settings.method as? PPO, ppo.hasValueAdapter, ppo.valueCoefficient == 0 {
            throw fault(
                "objective.value_adapter", "`objective.value_adapter` learns nothing with `objective.vf_coef: 0`")
        }
        if settings.reference != .auto, !settings.method.usesReference {
            throw fault("objective.reference", "`objective.reference` is not asked with `objective.beta: 0`")
        }
    }

    /// Rollouts say how many prompts there are; rows are prompts, whole.
    private func checkRows(_ recipe: Recipe) throws {
        let dataset = recipe.dataset
        for (key, isGiven) in [
            ("rows_per_batch", dataset.rowsPerBatch != nil), ("tokens_per_batch", dataset.tokensPerBatch != nil),
            ("packing", dataset.packing),
        ] where isGiven {
            throw fault(
                "dataset.\(key)", "`dataset.\(key)` has no meaning here: answers are made in rollouts",
                hint: "`objective.rollout_batch_size` and `objective.num_mini_batches` say how large steps are")
        }
        if dataset.overflow != nil {
            throw fault("dataset.overflow", "`dataset.overflow` has no meaning for prompts, which are never cut")
        }
        if dataset.sources.contains(where: { $0.weight != 1 }) {
            throw fault(
                "dataset.train", "weights have no meaning here: every prompt is drawn once in each pass over them")
        }
        if dataset.streaming {
            throw fault(
                "dataset.streaming", "`dataset.streaming` has no meaning for prompts, which are drawn by number")
        }
        if recipe.training.gradientAccumulationSteps != 1 {
            throw fault(
                "training.gradient_accumulation_steps",
                "`training.gradient_accumulation_steps` has no meaning here: a step is a minibatch of a rollout",
                hint: "`training.tokens_per_pass` bounds what is held at once")
        }
    }

    private func checkRollouts(_ rollouts: RolloutSettings) throws {
        if rollouts.truncatesSampling, !rollouts.allowsTruncatedSampling {
            throw fault(
                "objective.allow_truncated_sampling",
                "top_k, top_p, min_p and repetition_penalty draw answers from another distribution than the one that ratios are of",
                hint: "`objective.allow_truncated_sampling: true` allows it")
        }
        if rollouts.batchSize % rollouts.minibatches != 0 {
            throw fault(
                "objective.num_mini_batches",
                "`objective.num_mini_batches` (\(rollouts.minibatches)) does not divide `objective.rollout_batch_size` (\(rollouts.batchSize))"
            )
        }
    }

    private func checkRewards(_ rewards: [RewardSettings]) throws {
        for reward in rewards {
            if case .command(let settings) = reward.reward, settings.command.count == 1,
                settings.command[0].contains(" "), !FileManager.default.fileExists(atPath: settings.command[0])
            {
                throw fault(
                    "objective.rewards", "there is no program \"\(settings.command[0])\"",
                    hint: "`command` is a list of words: `command: [python3, judge.py]`")
            }
            if case .length(let window) = reward.reward, let longest = window.maximum, longest < window.minimum {
                throw fault(
                    "objective.rewards", "a length of at least \(window.minimum) and at most \(longest) is none")
            }
        }
        let names = rewards.map(\.metricName)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw fault(
                "objective.rewards", "two of `objective.rewards` are called \(twice)", hint: "give each a `name`")
        }
    }
}
