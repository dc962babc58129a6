"""Prompt and prefix tuning as PEFT saves and applies them, and ten steps of training each."""

import json
import pathlib
import shutil
import tempfile

import torch
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoTokenizer

from ._common import FIXTURES, load_model, seeded, token_log_probabilities, write_json
from .adapters import save

LENGTHS = [12, 40]
STEPS = 10
NEW_TOKENS = 12
TEXT = "Answer in one word:"

VARIANTS = {
    "prompt": dict(method=PromptTuningConfig, num_virtual_tokens=5, std=0.3),
    # More than a block of the attention kernel.
    "prompt-long": dict(method=PromptTuningConfig, num_virtual_tokens=70, std=0.3),
    # As they start: the tokens of the text, cut or repeated to fill the table.
    "prompt-text": dict(
        method=PromptTuningConfig, num_virtual_tokens=9, prompt_tuning_init="TEXT", prompt_tuning_init_text=TEXT),
    "prompt-text-repeated": dict(
        method=PromptTuningConfig, num_virtual_tokens=15, prompt_tuning_init="TEXT", prompt_tuning_init_text=TEXT),
    "prefix": dict(method=PrefixTuningConfig, num_virtual_tokens=4, std=0.7),
    "prefix-long": dict(method=PrefixTuningConfig, num_virtual_tokens=70, std=0.7),
    "prefix-projection": dict(
        method=PrefixTuningConfig, num_virtual_tokens=4, std=0.7, prefix_projection=True, encoder_hidden_size=24),
}
RUNS = ["prompt", "prefix", "prefix-projection"]


def make(base: str, name: str, method, std=None, **options):
    source = FIXTURES / "models" / base
    model = load_model(source)
    # Not a path of this machine: PEFT writes it into adapter_config.json.
    model.name_or_path = model.config._name_or_path = base
    if options.get("prompt_tuning_init") == "TEXT":
        options["tokenizer_name_or_path"] = str(source)
    adapted = get_peft_model(model, method(task_type="CAUSAL_LM", **options))
    if options.get("prompt_tuning_init") == "TEXT":
        adapted.peft_config["default"].tokenizer_name_or_path = base
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if parameter.requires_grad and std:
                parameter.copy_(seeded(f"{base}/{name}/{key}", parameter.shape, std=std))
    return adapted


def applied(adapted, tokens: list[int]) -> dict:
    """The log-probability of each token; of the first, too, where the last virtual token predicts it."""
    ids = torch.tensor([tokens])
    count = adapted.peft_config["default"].num_virtual_tokens
    with torch.no_grad():
        logits = adapted(input_ids=ids).logits[0].double()
    logits = logits[count - 1:] if len(logits) > len(tokens) else logits
    targets = tokens if len(logits) > len(tokens) else tokens[1:]
    logp = logits.log_softmax(-1)
    values = [logp[i, token].item() for i, token in enumerate(targets)]
    return {"first": values[0], "rest": values[1:]} if len(values) == len(tokens) else {"rest": values}


def continued(adapted, tokens: list[int]) -> list[int]:
    ids = torch.tensor([tokens])
    with torch.no_grad():
        out = adapted.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
            eos_token_id=None, pad_token_id=0)
    return out[0].tolist()[-NEW_TOKENS:]


def generate_base(folder: pathlib.Path, base: str) -> None:
    source = FIXTURES / "models" / base
    sequences = [torch.randint(0, 384, (length,), generator=torch.Generator().manual_seed(length)).tolist()
                 for length in LENGTHS]
    golden = {
        "sequences": sequences, "variants": {},
        "base": [token_log_probabilities(load_model(source), tokens) for tokens in sequences],
        "text_tokens": AutoTokenizer.from_pretrained(source)(TEXT)["input_ids"]}
    for name, options in VARIANTS.items():
        target = folder / base / name
        save(make(base, name, **options), target)
        adapted = PeftModel.from_pretrained(load_model(source), target).eval()
        golden["variants"][name] = {
            "adapted": [applied(adapted, tokens) for tokens in sequences],
            "continued": continued(adapted, sequences[0])}
    write_json(folder / base / "golden.json", golden)


def train(folder: pathlib.Path, name: str) -> None:
    """PEFT's own loss, torch's AdamW: two rows a step, each token a label."""
    rows = [row["tokens"] for row in json.loads((FIXTURES / "training" / "tiny-all.json").read_text())["prepared"]]
    adapted = make("tiny-llama", f"run-{name}", **VARIANTS[name]).train()
    trained = {key: value for key, value in adapted.named_parameters() if value.requires_grad}
    start = {key.removeprefix("prompt_encoder.default."): value.detach().clone() for key, value in trained.items()}
    save_file(start, folder / f"run-{name}-start.safetensors")
    rate = 0.02
    optimizer = torch.optim.AdamW(trained.values(), lr=rate, weight_decay=0.0)
    steps = []
    for step in range(STEPS):
        batch = rows[2 * step:2 * step + 2]
        longest = max(map(len, batch))
        pad = lambda row, value: row + [value] * (longest - len(row))
        loss = adapted(
            input_ids=torch.tensor([pad(row, 0) for row in batch]),
            labels=torch.tensor([pad(row, -100) for row in batch]),
            attention_mask=torch.tensor([pad([1] * len(row), 0) for row in batch])).loss
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        steps.append({"loss": loss.item(), "grad_norm": norm.item()})
    write_json(folder / f"run-{name}.json", {"rows": rows[:2 * STEPS], "learning_rate": rate, "steps": steps})
    with tempfile.TemporaryDirectory() as temporary:
        adapted.save_pretrained(temporary)
        shutil.copy(pathlib.Path(temporary) / "adapter_model.safetensors", folder / f"run-{name}.safetensors")


def generate(folder: pathlib.Path) -> None:
    for base in ["tiny-llama", "tiny-qwen2"]:
        generate_base(folder, base)
    for name in RUNS:
        train(folder, name)
