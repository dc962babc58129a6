import Adapters
import Files

/// What several keys of a recipe demand of each other, and the defaults that follow from other keys.
struct RecipeRules {
    private let places: [String: RecipePlace]
    private let file: String

    init(sections: [RecipeNode.Entry], file: String) {
        var places: [String: RecipePlace] = [:]
        for section in sections {
            for entry in section.value.entries ?? [] { places["\(section.key).\(entry.key)"] = entry.value.place }
        }
        self.places = places
        self.file = file
    }

    /// Checks the whole recipe and fills in what follows.
    ///
    /// - Throws: ``InputError`` at the key that has to change.
    func settle(_ recipe: inout Recipe) throws {
        settleStorage(&recipe)
        if recipe.objective.policy == nil { try settleBatches(&recipe.dataset) }
        try settleSchedule(&recipe.optimizer)
        settleReward(&recipe)
        try checkOptimizer(recipe.optimizer)
        try checkLoRAPlus(recipe)
        try checkHeadRate(recipe)
        try checkTrainable(recipe)
        try checkStream(recipe)
        try checkEvaluation(recipe)
        try checkObjective(recipe)
        if case .lora(let settings) = recipe.adapter { try checkLoRA(settings.configuration) }
        if case .prompt(let settings) = recipe.adapter { try checkPrompt(settings) }
    }

    func fault(_ key: String, _ message: String, hint: String? = nil) -> InputError {
        (places[key] ?? RecipePlace(file: file)).fault(message, hint: hint)
    }

    /// Frozen weights are stored as products take them.
    private func settleStorage(_ recipe: inout Recipe) {
        let isPartlyFrozen = recipe.adapter != nil || recipe.training.trainableParameters != nil
        guard recipe.model.precision == .bf16, isPartlyFrozen, places["model.weights"] == nil else { return }
        recipe.model.weights = .bf16
    }

    private func settleBatches(_ dataset: inout DatasetSettings) throws {
        if dataset.rowsPerBatch != nil && dataset.tokensPerBatch != nil {
            throw fault(
                "dataset.rows_per_batch", "`dataset.rows_per_batch` and `dataset.tokens_per_batch` are both given",
                hint: "keep one; null takes the other back")
        }
        if dataset.packing {
            guard let budget = dataset.tokensPerBatch else {
                throw fault("dataset.packing", "`dataset.packing: true` needs `dataset.tokens_per_batch`")
            }
            guard budget >= dataset.maxLength else {
                throw fault(
                    "dataset.tokens_per_batch",
                    "`dataset.tokens_per_batch` (\(budget)) must be at least `dataset.max_length` (\(dataset.maxLength)) with packing"
                )
            }
        }
        if dataset.rowsPerBatch == nil && dataset.tokensPerBatch == nil {
            dataset.rowsPerBatch = DatasetSettings.defaultRowsPerBatch
        }
    }

    private func settleSchedule(_ optimizer: inout OptimizerSettings) throws {
        let decays = optimizer.schedule == .warmupStableDecay
        if decays {
            optimizer.decaySteps = optimizer.decaySteps ?? OptimizerSettings.defaultDecaySteps
        } else if optimizer.decaySteps != nil {
            throw fault(
                "optimizer.decay_steps", "`optimizer.decay_steps` needs `optimizer.schedule: warmup_stable_decay`")
        }
        if optimizer.minLRRate != 0 && !decays && optimizer.schedule != .cosine {
            throw fault(
                "optimizer.min_lr_rate",
                "`optimizer.min_lr_rate` needs `optimizer.schedule` cosine or warmup_stable_decay")
        }
        if case .share(let warmup) = optimizer.warmupSteps, case .share(let decay) = optimizer.decaySteps,
            warmup + decay > 1
        {
            throw fault("optimizer.decay_steps", "warm-up and decay together are longer than the run")
        }
    }

    private func checkOptimizer(_ optimizer: OptimizerSettings) throws {
        let defaults = OptimizerSettings()
        switch optimizer.type {
        case .adamw:
            if optimizer.momentum != 0 {
                throw fault("optimizer.momentum", "`optimizer.momentum` needs `optimizer.type: sgd`")
            }
        case .sgd:
            let adam = [
                ("beta1", optimizer.beta1 == defaults.beta1), ("beta2", optimizer.beta2 == defaults.beta2),
                ("epsilon", optimizer.epsilon == defaults.epsilon),
            ]
            for (name, isDefault) in adam where !isDefault {
                throw fault("optimizer.\(name)", "`optimizer.\(name)` needs `optimizer.type: adamw`")
            }
        }
    }

    private func checkLoRAPlus(_ recipe: Recipe) throws {
        let optimizer = recipe.optimizer
        if optimizer.loraplusLREmbedding != OptimizerSettings().loraplusLREmbedding, optimizer.loraplusLRRatio == nil {
            throw fault(
                "optimizer.loraplus_lr_embedding",
                "`optimizer.loraplus_lr_embedding` needs `optimizer.loraplus_lr_ratio`")
        }
        guard optimizer.loraplusLRRatio != nil else { return }
        if case .lora = recipe.adapter { return }
        throw fault("optimizer.loraplus_lr_ratio", "`optimizer.loraplus_lr_ratio` needs `adapter.type: lora`")
    }

    private func checkHeadRate(_ recipe: Recipe) throws {
        guard recipe.optimizer.headLearningRate != nil else { return }
        switch recipe.objective {
        case .reward, .ppo: return
        default:
            throw fault(
                "optimizer.head_learning_rate", "`optimizer.head_learning_rate` needs a method with a new head",
                hint: "`objective.type: reward` and `ppo` have one")
        }
    }

    private func checkTrainable(_ recipe: Recipe) throws {
        let training = recipe.training
        guard recipe.adapter != nil else { return }
        for (key, isGiven) in [
            ("trainable", training.trainable != nil), ("trainable_top_layers", training.trainableTopLayers != nil),
        ] where isGiven {
            throw fault(
                "training.\(key)", "`training.\(key)` is for a run without an adapter, which freezes the model itself")
        }
    }

    private func checkStream(_ recipe: Recipe) throws {
        guard recipe.dataset.streaming else { return }
        guard recipe.training.maxSteps != nil else {
            throw fault(
                "dataset.streaming", "`dataset.streaming: true` needs `training.max_steps`",
                hint: "a stream's length is not known beforehand")
        }
        if case .share = recipe.dataset.eval {
            throw fault("dataset.eval", "`dataset.eval` must be a file with `dataset.streaming: true`")
        }
    }

    private func checkEvaluation(_ recipe: Recipe) throws {
        let training = recipe.training
        let demands: [(String, Bool)] = [
            ("eval_steps", training.evalSteps != nil),
            ("early_stopping_patience", training.earlyStoppingPatience != nil),
            ("keep_best", training.keepBest),
        ]
        for (name, isAsked) in demands where isAsked {
            guard recipe.dataset.eval != nil else {
                throw fault("training.\(name)", "`training.\(name)` needs `dataset.eval`")
            }
            guard training.evalSteps != nil else {
                throw fault("training.\(name)", "`training.\(name)` needs `training.eval_steps`")
            }
        }
        if training.earlyStoppingThreshold != 0 && training.earlyStoppingPatience == nil {
            throw fault(
                "training.early_stopping_threshold",
                "`training.early_stopping_threshold` needs `training.early_stopping_patience`")
        }
    }

    private func checkPrompt(_ settings: PromptSettings) throws {
        let isEmpty = settings.text?.isEmpty ?? true
        if settings.initialization == .text && isEmpty && settings.initFrom == nil {
            throw fault(
                "adapter.prompt_tuning_init",
                "`adapter.prompt_tuning_init: TEXT` needs `adapter.prompt_tuning_init_text`")
        }
        if settings.initialization != .text && !isEmpty {
            throw fault(
                "adapter.prompt_tuning_init_text",
                "`adapter.prompt_tuning_init_text` needs `adapter.prompt_tuning_init: TEXT`")
        }
    }

    private func checkLoRA(_ configuration: LoRAConfiguration) throws {
        let target = configuration.target
        for row in configuration.rankPattern.rows where !LoRAConfiguration.ranks.contains(row.value) {
            throw fault(
                "adapter.rank_pattern",
                "`adapter.rank_pattern.\(row.key)` must be from 1 to \(LoRAConfiguration.ranks.upperBound), not \(row.value)"
            )
        }
        for row in configuration.alphaPattern.rows where row.value <= 0 {
            throw fault(
                "adapter.alpha_pattern", "`adapter.alpha_pattern.\(row.key)` must be above 0, not \(row.value)")
        }
        if let layer = target.layers?.first(where: { $0 < 0 }) {
            throw fault(
                "adapter.layers_to_transform",
                "`adapter.layers_to_transform` counts from 0; there is no layer \(layer)")
        }
        if !target.layersPattern.isEmpty && target.layers == nil {
            throw fault("adapter.layers_pattern", "`adapter.layers_pattern` needs `adapter.layers_to_transform`")
        }
        if target.layers != nil, case .only(.expression) = target.include {
            throw fault(
                "adapter.layers_to_transform",
                "`adapter.layers_to_transform` cannot stand beside a pattern in `adapter.target_modules`",
                hint: "name the layers in the pattern")
        }
    }
}
