"""Preferences as TRL's trainers prepare, score and learn them: DPO, KTO, CPO and ORPO."""

import json
import pathlib
import tempfile

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from . import _preferences
from ._common import FIXTURES, load_model, load_smollm2_gguf, load_smollm2_tokenizer, write_json
from ._preferences import IMPLICIT, IMPLICIT_PLAIN, PAIRS, PLAIN_PAIRS, UNPAIRED

SOURCE = FIXTURES / "models" / "tiny-llama"
START = FIXTURES / "training" / "tiny-start"
ROWS = {"pairs": PAIRS, "plain-pairs": PLAIN_PAIRS, "implicit": IMPLICIT, "implicit-plain": IMPLICIT_PLAIN,
        "unpaired": UNPAIRED}
TRAINERS = {
    "dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig), "cpo": (CPOTrainer, CPOConfig),
    "orpo": (ORPOTrainer, ORPOConfig)}
METRICS = ("epoch", "loss", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy", "kl", "nll_loss",
           "log_odds_ratio", "log_odds_chosen")
STEPS = 6

RUNS = {
    "dpo": ("dpo", "pairs", {}),
    # The reference is the base model and not the adapter that training starts from.
    "dpo-base": ("dpo", "pairs", {"reference": "base"}),
    "dpo-mixed": ("dpo", "pairs", {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0],
                                   "reference": "base"}),
    "dpo-ipo": ("dpo", "plain-pairs", {"loss_type": ["ipo"], "reference": "base"}),
    "dpo-wpo": ("dpo", "pairs", {"use_weighting": True, "reference": "base"}),
    "dpo-ld": ("dpo", "pairs", {"ld_alpha": 0.4, "reference": "base"}),
    "dpo-accumulated": ("dpo", "pairs", {"gradient_accumulation_steps": 3, "reference": "base"}),
    "dpo-truncated": ("dpo", "pairs", {"max_length": 40, "reference": "base"}),
    "kto": ("kto", "unpaired", {"per_device_train_batch_size": 4}),
    "cpo": ("cpo", "pairs", {}),
    "cpo-simpo": ("cpo", "pairs", {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0}),
    "orpo": ("orpo", "pairs", {}),
}


def prepared(trainer, kind: str, max_length: int) -> list[dict]:
    """The rows that the trainer reads, cut as its collator cuts them."""
    rows = []
    for row in trainer.train_dataset:
        if kind == "dpo":
            prompt, answers = row["prompt_ids"], [row["chosen_ids"], row["rejected_ids"]]
        elif kind == "kto":
            prompt, answers = row["prompt_ids"], [row["completion_ids"]]
        else:
            boundary = row["chosen_labels"].count(-100)
            prompt = row["chosen_input_ids"][:boundary]
            answers = [row["chosen_input_ids"][boundary:], row["rejected_input_ids"][boundary:]]
            assert row["rejected_labels"].count(-100) == boundary and row["rejected_input_ids"][:boundary] == prompt
        room = max_length - len(prompt)
        entry = {"prompt": prompt, "answers": [answer[:room] for answer in answers]}
        rows.append({**entry, "label": int(row["label"])} if kind == "kto" else entry)
    return rows


def make_trainer(kind: str, model, tokenizer, rows: list[dict], folder: str, reference=None, **options):
    trainer, configuration = TRAINERS[kind]
    sequential = {} if kind in ("cpo", "orpo") else {"train_sampling_strategy": "sequential"}
    made = trainer(
        model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
        args=configuration(
            output_dir=folder, optim="adamw_torch", bf16=False, use_cpu=True, gradient_checkpointing=False, logging_steps=1,
            save_strategy="no", report_to="none", seed=42, disable_tqdm=True, **sequential, **options),
        **({"ref_model": reference} if reference is not None else {}))
    if kind in ("cpo", "orpo"):
        made._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(made.train_dataset)
    return made


def train(kind: str, rows: str, options: dict, load, start: pathlib.Path, tokenizer, steps: int, data=None) -> dict:
    options = dict(options)
    reference = load() if options.pop("reference", "start") == "base" else None
    settings = {
        "learning_rate": 1e-3, "lr_scheduler_type": "constant", "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": 1.0,
        "max_length": 1024, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": steps, **options}
    adapted = PeftModel.from_pretrained(load(), start, is_trainable=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            kind, adapted, tokenizer, data or ROWS[rows], folder, reference, **settings)
        golden = prepared(trainer, kind, settings["max_length"])
        trainer.train()
    log = [
        {key: value for key, value in entry.items()
         if key in METRICS or key.startswith(("rewards/", "logps/", "logits/"))}
        for entry in trainer.state.log_history if "grad_norm" in entry]
    assert len(log) == steps
    return {
        "type": kind, "reference": "base" if reference is not None else "start", "rows": rows, "settings": settings,
        "prepared": golden, "steps": log}


def prepare_all(folder: pathlib.Path) -> None:
    """What becomes of rows, with a tokenizer that adds BOS and one that does not, uncut and cut."""
    tokenizers = {
        "bos": FIXTURES / "datasets" / "bos-tokenizer", "tiny": SOURCE}
    for name, rows in ROWS.items():
        kind = "kto" if name == "unpaired" else "dpo"
        extra = {"loss_type": "apo_zero_unpaired"} if kind == "kto" else {}
        runs = []
        for tokenizer, path in tokenizers.items():
            for max_length in (1024, 48):
                with tempfile.TemporaryDirectory() as temporary:
                    trainer = make_trainer(
                        kind, load_model(SOURCE), AutoTokenizer.from_pretrained(path), rows, temporary,
                        load_model(SOURCE), max_length=max_length, per_device_train_batch_size=2, **extra)
                    runs.append({"tokenizer": tokenizer, "max_length": max_length,
                                 "prepared": prepared(trainer, kind, max_length)})
        write_json(folder / f"prepared-{name}.json", {"runs": runs})


def generate(folder: pathlib.Path) -> None:
    for name, rows in ROWS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_json(folder / "losses.json", _preferences.losses())
    prepare_all(folder)
    for name, (kind, rows, options) in RUNS.items():
        write_json(folder / f"tiny-{name}.json", train(
            kind, rows, options, lambda: load_model(SOURCE), START, AutoTokenizer.from_pretrained(SOURCE), STEPS))
    write_json(folder / "smollm2-dpo.json", train(
        "dpo", "pairs", {"beta": 0.1, "learning_rate": 5e-4}, load_smollm2_gguf, FIXTURES / "adapters" / "smollm2-start",
        load_smollm2_tokenizer(), 4))
