"""Reward models as transformers and PEFT keep and compute them, and as TRL's trainer learns them."""

import pathlib
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

from ._common import FIXTURES, SMOLLM2_GGUF, load_smollm2_tokenizer, seeded, write_json
from ._preferences import PAIRS, PLAIN_PAIRS
from .adapters import ALL_LINEAR, save

BASES = ("tiny-llama", "tiny-qwen2")
LENGTHS = [3, 17, 60]
VARIANTS = {
    "lora": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "dora": dict(r=4, lora_alpha=6, use_dora=True, use_rslora=True, target_modules=ALL_LINEAR),
}
METRICS = ("epoch", "loss", "grad_norm", "learning_rate", "accuracy", "margin", "min_reward", "mean_reward", "max_reward")
STEPS = 6
RUNS = {
    "pairs": (PAIRS, {}),
    "plain": (PLAIN_PAIRS, {}),
    "margins": ([{**row, "margin": 0.25 * (index % 5)} for index, row in enumerate(PAIRS)], {}),
    "centered": (PAIRS, {"center_rewards_coefficient": 0.05}),
    "accumulated": (PAIRS, {"gradient_accumulation_steps": 3, "center_rewards_coefficient": 0.01}),
    # Some rows are longer, and left out.
    "short": (PAIRS, {"max_length": 70}),
}


def load_classifier(folder, **options):
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32, attn_implementation="eager", **options)
    with torch.no_grad():
        model.score.weight.copy_(seeded("score", model.score.weight.shape, 0.1))
    return model.eval()


@torch.no_grad()
def rewards(model, sequences: list[list[int]]) -> list[float]:
    """One at a time: there is no padding, so a reward is read at the last token whatever that is."""
    model.config.pad_token_id = None
    return [model(torch.tensor([tokens])).logits.item() for tokens in sequences]


def make_adapter(base: str, variant: str, folder: pathlib.Path):
    model = load_classifier(FIXTURES / "models" / base)
    # Not a path of this machine: PEFT writes it into adapter_config.json.
    model.name_or_path = model.config._name_or_path = base
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", lora_dropout=0.0, **VARIANTS[variant]))
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "magnitude" in key:
                parameter.mul_(1 + seeded(f"{base}/{variant}/{key}", parameter.shape, 0.3))
            elif parameter.requires_grad:
                parameter.copy_(seeded(f"{base}/{variant}/{key}", parameter.shape, 0.1))
    save(adapted, folder)


def generate_models(folder: pathlib.Path) -> None:
    sequences = [torch.randint(0, 384, (length,), generator=torch.Generator().manual_seed(length)).tolist()
                 for length in LENGTHS]
    golden = {"sequences": sequences, "folders": {}, "adapters": {}}
    for base in BASES:
        for variant in VARIANTS:
            name = f"{base}-{variant}"
            make_adapter(base, variant, folder / name)
            adapted = PeftModel.from_pretrained(load_classifier(FIXTURES / "models" / base), folder / name).eval()
            golden["adapters"][name] = {"base": base, "rewards": rewards(adapted, sequences)}
    classifier = load_classifier(FIXTURES / "models" / "tiny-llama").to(torch.bfloat16)
    classifier.config.pad_token_id = 0
    classifier.save_pretrained(folder / "classifier")
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "models" / "tiny-llama")
    tokenizer.save_pretrained(folder / "classifier")
    golden["folders"]["classifier"] = rewards(
        AutoModelForSequenceClassification.from_pretrained(
            folder / "classifier", dtype=torch.float32, attn_implementation="eager").eval(), sequences)
    write_json(folder / "golden.json", golden)


def train(load, start: pathlib.Path, tokenizer, rows: list[dict], options: dict, steps: int) -> dict:
    settings = {
        "learning_rate": 1e-3, "lr_scheduler_type": "constant", "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": 1.0,
        "max_length": 1024, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": steps, **options}
    model = PeftModel.from_pretrained(load(), start, is_trainable=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
            args=RewardConfig(
                output_dir=folder, optim="adamw_torch", bf16=False, use_cpu=True, gradient_checkpointing=False,
                logging_steps=1, save_strategy="no", report_to="none", seed=42, disable_tqdm=True,
                train_sampling_strategy="sequential", **settings))
        prepared = [
            {"answers": [row["chosen_ids"], row["rejected_ids"]], "margin": row.get("margin")}
            for row in trainer.train_dataset]
        trainer.train()
    log = [{key: value for key, value in entry.items() if key in METRICS}
           for entry in trainer.state.log_history if "grad_norm" in entry]
    assert len(log) == steps
    return {"settings": settings, "prepared": prepared, "steps": log}


def generate_smollm2(folder: pathlib.Path) -> None:
    from transformers import GgufConfig

    def load():
        return load_classifier(SMOLLM2_GGUF.parent, gguf_file=SMOLLM2_GGUF.name,
                               quantization_config=GgufConfig(dequantize=True))
    start = folder / "smollm2-start"
    model = load()
    model.name_or_path = model.config._name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    adapted = get_peft_model(model, LoraConfig(
        task_type="SEQ_CLS", lora_dropout=0.0, r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"],
        layers_to_transform=[0, 15, 29]))
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_" in key:
                parameter.copy_(seeded(f"smollm2-start/{key}", parameter.shape, 0.05 if "lora_A" in key else 0.01))
    save(adapted, start)
    write_json(folder / "smollm2.json", train(
        load, start, load_smollm2_tokenizer(), PAIRS, {"learning_rate": 5e-4}, 4))


def generate(folder: pathlib.Path) -> None:
    generate_models(folder)
    base = FIXTURES / "models" / "tiny-llama"
    for name, (rows, options) in RUNS.items():
        write_json(folder / f"tiny-{name}.json", train(
            lambda: load_classifier(base), folder / "tiny-llama-lora", AutoTokenizer.from_pretrained(base), rows,
            options, STEPS))
    generate_smollm2(folder)
