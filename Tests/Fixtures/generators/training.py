"""Training as TRL, torch and transformers do it: steps of supervised fine-tuning, optimisers, schedules."""

import json
import pathlib
import re
import shutil
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from peft.utils.other import TrainableTokensWrapper
from transformers import AutoTokenizer, get_scheduler
from trl import SFTConfig, SFTTrainer

from . import _rows
from ._common import (
    FIXTURES, floats, load_model, load_smollm2_gguf, load_smollm2_tokenizer, seeded, write_json, write_tensors)
from .adapters import ALL_LINEAR, make_adapter, save

STEPS = 12
# The tiny models' ChatML and SmolLM2's template, with the assistant's words and its end of turn marked.
CHATML_TRAINING = (
    "{%- for message in messages %}\n"
    "    {%- if message['role'] == 'assistant' %}\n"
    "        {{- '<|im_start|>assistant\\n' }}\n"
    "        {%- generation %}{{- message['content'] + '<|im_end|>' }}{%- endgeneration %}\n"
    "        {{- '\\n' }}\n"
    "    {%- else %}\n"
    "        {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n"
    "    {%- endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n")
SMOLLM2_TRAINING = CHATML_TRAINING.replace(
    "    {%- if message['role'] == 'assistant' %}\n",
    "    {%- if loop.first and messages[0]['role'] != 'system' %}\n"
    "        {{- '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n'"
    " }}\n"
    "    {%- endif %}\n"
    "    {%- if message['role'] == 'assistant' %}\n", 1)

ROWS = {
    "rows": _rows.CONVERSATIONAL, "rows-completion": _rows.COMPLETION,
    "rows-plain-completion": _rows.PLAIN_COMPLETION, "rows-text": _rows.TEXT}

CONSTANT = {"lr_scheduler_type": "constant"}
COSINE = {"lr_scheduler_type": "cosine", "warmup_steps": 3}
RUNS = {
    "all": ("rows", CONSTANT),
    "assistant": ("rows", {**COSINE, "assistant_only_loss": True}),
    "all-accumulated": ("rows", {**COSINE, "gradient_accumulation_steps": 2, "weight_decay": 0.1}),
    # Twelve micro-batches an epoch in groups of 5, 5 and 2.
    "assistant-accumulated": ("rows", {
        "lr_scheduler_type": "linear", "warmup_steps": 0.25, "gradient_accumulation_steps": 5,
        "assistant_only_loss": True}),
    "all-truncated": ("rows", {**CONSTANT, "max_length": 40}),
    "completion": ("rows-completion", {**COSINE, "max_grad_norm": 0.25}),
    "plain-completion": ("rows-plain-completion", CONSTANT),
    "text": ("rows-text", {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2, "max_grad_norm": 100.0}),
}
SMOLLM2_RUNS = ["all", "assistant"]
# Runs that start from an adapter of adapters/tiny-llama: its name, and what is not as in the first run.
METHOD_RUNS = {
    "dora": ("dora", {}), "ia3": ("ia3", {}),
    "loraplus": ("dora", {"loraplus_lr_ratio": 16.0, "loraplus_lr_embedding": 1e-5, "weight_decay": 0.1, **COSINE}),
    # TRL takes no adapter of the head.
    "dora-embedding": ("dora-embedding", {}), "ia3-saved": ("ia3-saved", {}),
    "embedding": ("embedding", {}), "saved": ("saved-head", {}), "tokens": ("tokens", {}),
    # New adapters, whose start PEFT takes off the weights.
    "pissa": (dict(r=4, lora_alpha=6, target_modules=ALL_LINEAR, init_lora_weights="pissa"), {}),
    "olora": (dict(r=4, lora_alpha=6, target_modules=ALL_LINEAR, init_lora_weights="olora"), {}),
    "dora-pissa": (dict(r=4, lora_alpha=6, target_modules=ALL_LINEAR, init_lora_weights="pissa", use_dora=True), {}),
    # No adapter: the model's own weights whose names match one of the expressions.
    "partly": (None, {"trainable": [r".*norm\.weight", r"model\.layers\.1\.mlp\..*"], "weight_decay": 0.1}),
}


def use_training_template(tokenizer, template: str) -> None:
    """The twin must write what the template writes."""
    for row in _rows.CONVERSATIONS:
        plain = tokenizer.apply_chat_template(row, tokenize=False)
        assert plain == tokenizer.apply_chat_template(row, tokenize=False, chat_template=template)
    tokenizer.chat_template = template


def train(model, start: pathlib.Path | dict | None, tokenizer, rows: str, options: dict, final: pathlib.Path | None) -> dict:
    settings = {
        "learning_rate": 1e-3, "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": 1.0, "max_length": 1024,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "assistant_only_loss": False, **options}
    patterns = settings.pop("trainable", [])
    adapted = model
    if isinstance(start, dict):
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **start))
    elif start:
        adapted = PeftModel.from_pretrained(model, start, is_trainable=True)
    for module in adapted.modules():
        # TRL asks PEFT's wrapper of the head for a bias, which it does not pass on.
        if isinstance(module, TrainableTokensWrapper):
            module.bias = None
    for name, parameter in model.named_parameters() if patterns else []:
        parameter.requires_grad = any(re.fullmatch(pattern, name) for pattern in patterns)
    loraplus = {key: settings.pop(key) for key in list(settings) if key.startswith("loraplus")}
    optimizer = None
    if loraplus:
        # PEFT takes the decay under a name of its own; the optimizer's own default is not zero.
        optimizer = create_loraplus_optimizer(
            adapted, torch.optim.AdamW, lr=settings["learning_rate"], loraplus_weight_decay=settings["weight_decay"],
            foreach=False, **loraplus)
    with tempfile.TemporaryDirectory() as temporary:
        trainer = SFTTrainer(
            model=adapted, processing_class=tokenizer, train_dataset=Dataset.from_list(ROWS[rows]),
            optimizers=(optimizer, None),
            args=SFTConfig(
                output_dir=temporary, max_steps=STEPS, optim="adamw_torch", train_sampling_strategy="sequential",
                shuffle_dataset=False, packing=False, bf16=False, use_cpu=True, gradient_checkpointing=False,
                logging_steps=1, save_strategy="no", report_to="none", seed=42, disable_tqdm=True, **settings))
        prepared = [
            {"tokens": row["input_ids"], "trained": [int(label != -100) for label in row["labels"]]}
            for row in trainer.train_dataset]
        trainer.train()
        if final and not start:
            write_tensors(final, {
                name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad})
        elif final:
            trainer.model.save_pretrained(temporary)
            shutil.copy(pathlib.Path(temporary) / "adapter_model.safetensors", final)
    steps = [
        {key: entry[key] for key in ("epoch", "loss", "grad_norm", "learning_rate")}
        for entry in trainer.state.log_history if "grad_norm" in entry]
    assert len(steps) == STEPS
    extra = {**loraplus, **({"trainable": patterns} if patterns else {})}
    return {
        "settings": {"rows": f"{rows}.jsonl", "max_steps": STEPS, **settings, **extra}, "prepared": prepared, "steps": steps}


def train_all(folder: pathlib.Path) -> None:
    for name, rows in ROWS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (folder / "tiny_training.jinja").write_text(CHATML_TRAINING)
    (folder / "smollm2_training.jinja").write_text(SMOLLM2_TRAINING)
    source = FIXTURES / "models" / "tiny-llama"
    start = folder / "tiny-start"
    save(make_adapter(load_model(source), "tiny-start", "tiny-llama", a_std=0.1, b_std=0.05, r=4, lora_alpha=8,
                      target_modules=ALL_LINEAR), start)
    for name, (rows, options) in RUNS.items():
        tokenizer = AutoTokenizer.from_pretrained(source)
        if options.get("assistant_only_loss"):
            use_training_template(tokenizer, CHATML_TRAINING)
        write_json(folder / f"tiny-{name}.json", train(
            load_model(source), start, tokenizer, rows, options, folder / f"tiny-{name}.safetensors"))
    train_methods(folder)
    for name in SMOLLM2_RUNS:
        rows, options = RUNS[name]
        tokenizer = load_smollm2_tokenizer()
        if options.get("assistant_only_loss"):
            use_training_template(tokenizer, SMOLLM2_TRAINING)
        write_json(folder / f"smollm2-{name}.json", train(
            load_smollm2_gguf(), FIXTURES / "adapters" / "smollm2-start", tokenizer, rows, options, None))


def train_methods(folder: pathlib.Path) -> None:
    source = FIXTURES / "models" / "tiny-llama"
    for name, (start, options) in METHOD_RUNS.items():
        start = FIXTURES / "adapters" / "tiny-llama" / start if isinstance(start, str) else start
        write_json(folder / f"tiny-{name}.json", train(
            load_model(source), start, AutoTokenizer.from_pretrained(source), "rows", {**CONSTANT, **options},
            None if isinstance(start, dict) else folder / f"tiny-{name}.safetensors"))


OPTIMIZERS = [
    ("adamw", dict(lr=1e-2, weight_decay=0.0)),
    ("adamw", dict(lr=1e-2, weight_decay=0.1)),
    ("adamw", dict(lr=3e-4, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01)),
    ("sgd", dict(lr=1e-2)),
    ("sgd", dict(lr=1e-2, momentum=0.9, weight_decay=0.1)),
]


def write_optimizers(path: pathlib.Path) -> None:
    start = seeded("optimizer/start", [8])
    # From vanishing to large, and one that is always zero.
    sizes = torch.tensor([1e-9, 1e-6, 1e-3, 0.1, 1.0, 10.0, 1000.0, 0.0])
    gradients = [seeded(f"optimizer/{step}", [8]) * sizes for step in range(10)]
    runs = []
    for kind, options in OPTIMIZERS:
        parameter = torch.nn.Parameter(start.clone())
        make = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[kind]
        optimizer = make([parameter], foreach=False, **options)
        values = []
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
            values.append(floats(parameter))
        state = {
            key: floats(value) for key, value in optimizer.state[parameter].items()
            if isinstance(value, torch.Tensor) and value.dim() == 1}
        runs.append({"type": kind, "settings": options, "parameters": values, "state": state})
    write_json(path, {
        "start": floats(start), "gradients": [floats(gradient) for gradient in gradients], "runs": runs})


SCHEDULES = [
    ("constant", 0, 10, {}),
    ("constant_with_warmup", 0, 10, {}), ("constant_with_warmup", 4, 10, {}),
    ("linear", 0, 10, {}), ("linear", 3, 10, {}), ("linear", 10, 10, {}), ("linear", 0, 1, {}),
    ("cosine", 0, 10, {}), ("cosine", 3, 17, {}), ("cosine", 0, 1, {}),
    ("cosine_with_min_lr", 0, 10, {"min_lr_rate": 0.1}), ("cosine_with_min_lr", 3, 17, {"min_lr_rate": 0.25}),
    ("inverse_sqrt", 0, 10, {}), ("inverse_sqrt", 4, 12, {}), ("inverse_sqrt", 2, 12, {"timescale": 5}),
    ("warmup_stable_decay", 3, 15, {"num_decay_steps": 5}),
    ("warmup_stable_decay", 0, 12, {"num_decay_steps": 4, "decay_type": "linear", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", 4, 16,
     {"num_decay_steps": 6, "warmup_type": "cosine", "decay_type": "cosine", "min_lr_ratio": 0.05}),
    ("warmup_stable_decay", 4, 16,
     {"num_decay_steps": 6, "warmup_type": "1-sqrt", "decay_type": "1-sqrt", "min_lr_ratio": 0.05}),
]


def write_schedules(path: pathlib.Path) -> None:
    schedules = []
    for kind, warmup, total, options in SCHEDULES:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = get_scheduler(kind, optimizer, warmup, total, scheduler_specific_kwargs=options)
        factors = []
        for _ in range(total + 3):
            factors.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        schedules.append({
            "type": kind, "warmup_steps": warmup, "total_steps": total, "settings": options, "factors": factors})
    write_json(path, {"schedules": schedules})


def generate(folder: pathlib.Path) -> None:
    write_optimizers(folder / "optimizers.json")
    write_schedules(folder / "schedules.json")
    train_all(folder)
