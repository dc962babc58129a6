import Files

/// The error for a key that a section does not have: it names the key's own section, or our name for what another tool calls it,
/// or the nearest key.
func unknownKey(_ entry: RecipeNode.Entry, in section: String, known: [String]) -> InputError {
    entry.place.fault("unknown key `\(section).\(entry.key)`", hint: hint(for: entry.key, in: section, known: known))
}

/// The error for a section that there is none of; see ``unknownKey(_:in:known:)``.
func unknownSection(_ entry: RecipeNode.Entry) -> InputError {
    entry.place.fault(
        "unknown section `\(entry.key)`",
        hint: hint(for: entry.key, in: "", known: RecipeReference.sections.map(\.name)))
}

private func hint(for key: String, in section: String, known: [String]) -> String {
    let name = key.lowercased()
    if let ours = foreignNames["\(section).\(name)"] { return ours.hasPrefix("`") ? "here it is \(ours)" : ours }
    if !known.contains(name), let home = home(of: name, in: section) { return home }
    if let ours = foreignNames[name] { return ours.hasPrefix("`") ? "here it is \(ours)" : ours }
    if let nearest = nearestName(to: key, among: known) { return "did you mean `\(nearest)`?" }
    if let nearest = nearestName(to: key, among: RecipeReference.keys.map(\.name)),
        let home = RecipeReference.keys.first(where: { $0.name == nearest })
    {
        return "did you mean `\(home.path)`?"
    }
    return "there are " + known.map { "`\($0)`" }.joined(separator: ", ")
}

/// Where a key of another section belongs, or one of another method of this section; nil where there is none of that name.
private func home(of name: String, in section: String) -> String? {
    let homes = RecipeReference.everyMethodsKeys.filter { $0.name == name }
    let methods = homes.filter { $0.section == section }.compactMap(\.method)
    guard methods.isEmpty else {
        return "it is a key of " + methods.map { "`\(section).\($0)`" }.joined(separator: ", ")
    }
    return homes.first.map { "it is written `\($0.path)`" }
}

/// What Hugging Face's Trainer, TRL, PEFT, Axolotl, LLaMA-Factory and torchtune call things, and what to write here: one of our
/// keys, in backquotes, or a sentence. A name with a section before it is meant there alone.
private let foreignNames: [String: String] = [
    // The model.
    "model_name_or_path": "`model.path`", "pretrained_model_name_or_path": "`model.path`", "base_model": "`model.path`",
    "base_model_name_or_path": "`model.path`", "model_id": "`model.path`", "model_name": "`model.path`",
    "torch_dtype": "`model.precision`", "dtype": "`model.precision`", "bf16": "`model.precision`",
    "fp16": "`model.precision`",
    "mixed_precision": "`model.precision`", "load_in_4bit": "`model.weights`", "load_in_8bit": "`model.weights`",
    "quantization_config": "`model.weights`", "quantization_bit": "`model.weights`",
    "bnb_4bit_quant_type": "`model.weights`", "bnb_4bit_use_double_quant": "`model.double_quant`",
    "double_quantization": "`model.double_quant`",
    "chat_template": "it is the model's own: `chat_template.jinja` in its folder, or in the GGUF file",
    "template": "it is the model's own: `chat_template.jinja` in its folder, or in the GGUF file",
    // The adapter.
    "peft_type": "`adapter.type`", "finetuning_type": "`adapter.type`", "lora_r": "`adapter.r`",
    "lora_rank": "`adapter.r`",
    "rank": "`adapter.r`", "alpha": "`adapter.lora_alpha`", "dropout": "`adapter.lora_dropout`",
    "lora_target": "`adapter.target_modules`", "lora_target_modules": "`adapter.target_modules`",
    "lora_target_linear": "`adapter.target_modules: all-linear`", "use_rs_lora": "`adapter.use_rslora`",
    "lora_bias": "`adapter.bias`", "adapter_name_or_path": "`adapter.init_from`",
    "lora_model_dir": "`adapter.init_from`",
    "task_type": "it is left out: PEFT's task follows from the objective",
    "inference_mode": "it is left out: a run always trains",
    "fan_in_fan_out": "it is left out: the model's family says it",
    // The data.
    "train_file": "`dataset.train`", "dataset_name": "`dataset.train`", "dataset_path": "`dataset.train`",
    "data_path": "`dataset.train`", "data_files": "`dataset.train`", "train_dataset": "`dataset.train`",
    "datasets": "`dataset.train`",
    "validation_file": "`dataset.eval`", "eval_file": "`dataset.eval`", "eval_dataset": "`dataset.eval`",
    "test_size": "`dataset.eval`, a share or a file", "val_size": "`dataset.eval`, a share or a file",
    "val_set_size": "`dataset.eval`, a share or a file", "dataset_text_field": "`dataset.columns`",
    "max_seq_length": "`dataset.max_length`", "max_seq_len": "`dataset.max_length`",
    "model_max_length": "`dataset.max_length`",
    "sequence_len": "`dataset.max_length`", "cutoff_len": "`dataset.max_length`", "block_size": "`dataset.max_length`",
    "per_device_train_batch_size": "`dataset.rows_per_batch`", "per_device_eval_batch_size": "`dataset.rows_per_batch`",
    "train_batch_size": "`dataset.rows_per_batch`", "micro_batch_size": "`dataset.rows_per_batch`",
    "batch_size": "`dataset.rows_per_batch`", "sample_packing": "`dataset.packing`", "packed": "`dataset.packing`",
    "shuffle_dataset": "`dataset.shuffle`", "truncation_mode": "`dataset.overflow`",
    "dataset.type": "`dataset.format`", "max_prompt_length": "`dataset.max_length`",
    "padding_free": "it is left out: there is never any padding",
    "packing_strategy": "it is left out: packing is best-fit-decreasing",
    // The objective.
    "loss": "`objective.type`", "stage": "`objective.type`", "rl": "`objective.type`",
    "assistant_only_loss": "`objective.train_on: assistant`",
    "completion_only_loss": "`objective.train_on: completion`",
    "rpo_alpha": "`objective.loss_type: [sigmoid, sft]` with `objective.loss_weights`",
    "pref_ftx": "`objective.loss_type: [sigmoid, sft]` with `objective.loss_weights`",
    "pref_beta": "`objective.beta`", "dpo_beta": "`objective.beta`", "pref_loss": "`objective.loss_type`",
    "ref_model": "`objective.reference`", "ref_model_name_or_path": "`objective.reference`",
    "reference_free": "`objective.type: cpo` or `orpo`",
    "kto_chosen_weight": "`objective.desirable_weight`", "kto_rejected_weight": "`objective.undesirable_weight`",
    "train_on_inputs": "`objective.train_on: all`", "train_on_prompt": "`objective.train_on: all`",
    "reward_funcs": "`objective.rewards`", "reward_weights": "`objective.rewards`, where each has a `weight`",
    "reward_model_path": "`objective.rewards: { type: model, path: … }`",
    "reward_model": "`objective.rewards: { type: model, path: … }`",
    "init_kl_coef": "`objective.kl_coef`", "target_kl": "`objective.kl_target`", "horizon": "`objective.kl_horizon`",
    "num_ppo_mini_batches": "`objective.num_mini_batches`", "total_episodes": "`training.max_steps`",
    "ppo_epochs": "`objective.num_ppo_epochs`", "local_rollout_forward_batch_size": "`training.tokens_per_pass`",
    // The optimizer.
    "optim": "`optimizer.type`", "optimizer_type": "`optimizer.type`", "lr": "`optimizer.learning_rate`",
    "lr_scheduler_type": "`optimizer.schedule`", "lr_scheduler": "`optimizer.schedule`",
    "warmup_ratio": "`optimizer.warmup_steps`, where a value below 1 is a share",
    "num_warmup_steps": "`optimizer.warmup_steps`", "lr_warmup_steps": "`optimizer.warmup_steps`",
    "lr_scheduler_kwargs": "`optimizer.min_lr_rate` and `optimizer.decay_steps`",
    "min_lr_ratio": "`optimizer.min_lr_rate`",
    "min_lr": "`optimizer.min_lr_rate`, a share of the learning rate", "num_decay_steps": "`optimizer.decay_steps`",
    "num_stable_steps": "`optimizer.decay_steps`: what is neither warm-up nor decay is stable",
    "betas": "`optimizer.beta1` and `optimizer.beta2`", "adam_beta1": "`optimizer.beta1`",
    "adam_beta2": "`optimizer.beta2`",
    "adam_epsilon": "`optimizer.epsilon`", "eps": "`optimizer.epsilon`",
    "gradient_clipping": "`optimizer.max_grad_norm`",
    "clip_grad_norm": "`optimizer.max_grad_norm`", "grad_clip": "`optimizer.max_grad_norm`",
    // The run.
    "num_train_epochs": "`training.epochs`", "num_epochs": "`training.epochs`",
    "max_train_steps": "`training.max_steps`",
    "iters": "`training.max_steps`", "grad_accumulation_steps": "`training.gradient_accumulation_steps`",
    "accumulation_steps": "`training.gradient_accumulation_steps`", "data_seed": "`training.seed`",
    "gradient_checkpointing": "`training.recompute: layer`", "activation_checkpointing": "`training.recompute: layer`",
    "grad_checkpoint": "`training.recompute: layer`", "num_threads": "`training.threads`",
    "n_threads": "`training.threads`",
    "eval_strategy": "`training.eval_steps`", "evaluation_strategy": "`training.eval_steps`",
    "eval_every": "`training.eval_steps`",
    "load_best_model_at_end": "`training.keep_best`", "patience": "`training.early_stopping_patience`",
    // The output.
    "output_dir": "`output.path`", "save_strategy": "`output.save_steps`", "save_every": "`output.save_steps`",
    "save_total_limit": "`output.keep_checkpoints`",
    "logging_steps": "it is left out: every step is in metrics.jsonl",
    "report_to": "it is left out: every step is in metrics.jsonl",
    "resume_from_checkpoint": "it is a flag: `graft train RECIPE --resume`",
    "overwrite_output_dir": "it is a flag: `graft train RECIPE --overwrite`",
]
