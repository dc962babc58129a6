import Files

extension RecipeRules {
    /// What the keys of preference methods demand of each other and of the rest of the recipe.
    func checkObjective(_ recipe: Recipe) throws {
        switch recipe.objective {
        case .sft: return
        case .dpo(let settings): try checkDPO(settings)
        case .kto(let settings): try checkKTO(settings, recipe)
        case .cpo, .orpo: break
        case .ppo, .grpo, .rloo, .onlineDPO: return try checkPolicy(recipe)
        case .reward: try checkReward(recipe)
        }
        if recipe.dataset.overflow == .split {
            throw fault(
                "dataset.overflow", "`dataset.overflow: split` has no meaning for answers that are compared",
                hint: "possible are `truncate`, `drop` and `error`")
        }
        if recipe.objective.reference?.isPrecomputed == true, recipe.dataset.streaming {
            throw fault(
                "objective.precompute_ref_log_probs",
                "`objective.precompute_ref_log_probs: true` needs all rows before training; they are streamed")
        }
    }

    private func checkReward(_ recipe: Recipe) throws {
        switch recipe.adapter {
        case nil, .lora: return
        default:
            throw fault(
                "adapter.type",
                "`objective.type: reward` trains a score head too, which goes with `adapter.type: lora` alone",
                hint: "or leave `adapter` out")
        }
    }

    /// What training a reward model means for other keys: its score head is trained in full, as PEFT does for SEQ_CLS, and pairs that
    /// are too long are left out, as TRL does: an answer without its end is another answer.
    func settleReward(_ recipe: inout Recipe) {
        guard case .reward = recipe.objective else { return }
        recipe.dataset.overflow = recipe.dataset.overflow ?? .drop
        guard case .lora(var settings) = recipe.adapter, !settings.configuration.modulesToSave.contains("score") else {
            return
        }
        settings.configuration.modulesToSave.append("score")
        recipe.adapter = .lora(settings)
    }

    private func checkDPO(_ settings: DPOSettings) throws {
        let (types, loss) = (settings.lossType, settings.loss)
        if let weights = settings.lossWeights, weights.count != types.count {
            throw fault(
                "objective.loss_weights",
                "`objective.loss_weights` has \(weights.count) values for \(types.count) of `objective.loss_type`")
        }
        if types.contains(.exoPair), loss.labelSmoothing == 0 {
            throw fault(
                "objective.label_smoothing",
                "`objective.loss_type: exo_pair` needs `objective.label_smoothing` above 0",
                hint: "its paper takes 1.0e-3")
        }
        if loss.divergence != .reverseKL, let other = types.first(where: { !$0.takesDivergence }) {
            throw fault(
                "objective.f_divergence_type",
                "`objective.f_divergence_type: \(loss.divergence.rawValue)` has no meaning for the loss \(other.rawValue)",
                hint: "`reverse_kl` goes with all losses")
        }
        if loss.usesWeighting, let sorted = types.first(where: \.couplesBatch) {
            throw fault(
                "objective.use_weighting",
                "`objective.use_weighting` cannot stand beside the loss \(sorted.rawValue), which has no loss of a pair"
            )
        }
    }

    private func checkKTO(_ settings: KTOSettings, _ recipe: Recipe) throws {
        guard settings.loss.type == .kto else { return }
        if recipe.dataset.rowsPerBatch == 1 {
            throw fault(
                "dataset.rows_per_batch",
                "`objective.loss_type: kto` pairs prompts with other rows' answers: `dataset.rows_per_batch` must be 2 or more"
            )
        }
        if recipe.dataset.tokensPerBatch != nil {
            throw fault(
                "dataset.tokens_per_batch",
                "`objective.loss_type: kto` pairs prompts with other rows' answers: a batch of one long row would have none",
                hint: "`dataset.rows_per_batch` of 2 or more; `training.tokens_per_pass` bounds memory")
        }
        if settings.reference.isPrecomputed {
            throw fault(
                "objective.precompute_ref_log_probs",
                "`objective.loss_type: kto` pairs prompts with other rows' answers in each batch, which cannot be scored before training",
                hint: "`apo_zero_unpaired` can")
        }
    }
}
