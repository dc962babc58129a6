"""Adapters as PEFT saves them, and what PEFT computes with each, on and merged."""

import pathlib
import shutil

import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from . import _smollm2
from ._common import (
    FIXTURES, load_model, load_smollm2_gguf, load_smollm2_tokenizer, seeded, smollm2_folder, token_log_probabilities,
    write_json)

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL_LINEAR = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]
LENGTHS = [12, 40]

VARIANTS = {
    "qv": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "qv-bf16": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "all-linear": dict(r=4, lora_alpha=16, target_modules=ALL_LINEAR),
    "rslora": dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "o_proj", "down_proj"]),
    # Keys are regular expressions, matched against the end of a module's path after a dot; the first that matches wins.
    "patterns": dict(
        r=4, lora_alpha=8, target_modules=ALL_LINEAR,
        rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.down_proj": 6, "^model.layers.0.self_attn.v_proj": 3},
        alpha_pattern={"k_proj": 4, r"layers\.1\.mlp\.(down|up)_proj": 24, r".*\.gate_proj": 1}),
    "patterns-rslora": dict(
        r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "v_proj"], rank_pattern={"v_proj": 9},
        alpha_pattern={"v_proj": 12}),
    "layers": dict(r=4, lora_alpha=8, target_modules=ALL_LINEAR, layers_to_transform=[1]),
    "layers-pattern": dict(
        r=4, lora_alpha=8, target_modules=["up_proj"], layers_to_transform=0, layers_pattern="layers"),
    "regex": dict(r=4, lora_alpha=8, target_modules=r".*layers\.\d+\.(self_attn\.[qk]_proj|mlp\.up_proj)"),
    "exclude": dict(
        r=4, lora_alpha=8, target_modules=ATTENTION, exclude_modules=["layers.0.self_attn.q_proj", "v_proj"]),
    "exclude-regex": dict(r=4, lora_alpha=8, target_modules=ALL_LINEAR, exclude_modules=r".*\.layers\.0\..*_proj"),
    "dora": dict(r=4, lora_alpha=8, use_dora=True, target_modules=ALL_LINEAR),
    "dora-rslora": dict(
        r=4, lora_alpha=6, use_dora=True, use_rslora=True, target_modules=["q_proj", "o_proj", "up_proj"],
        rank_pattern={"q_proj": 2}),
    "dora-embedding": dict(r=4, lora_alpha=8, use_dora=True, target_modules=["embed_tokens", "q_proj"]),
    "dora-head": dict(r=4, lora_alpha=6, use_dora=True, use_rslora=True, target_modules=["q_proj", "lm_head"]),
    "dora-pissa": dict(
        r=4, lora_alpha=6, use_dora=True, target_modules=["q_proj", "k_proj", "down_proj"],
        init_lora_weights="pissa"),
    # The tied head keeps the weight of the base in all but the `tied` variants.
    "bias-all": dict(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], bias="all"),
    "bias-lora": dict(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], bias="lora_only"),
    "embedding": dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "q_proj"]),
    "embedding-head": dict(
        r=4, lora_alpha=8, use_rslora=True, target_modules=["embed_tokens", "lm_head"], rank_pattern={"lm_head": 3}),
    "embedding-tied": dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True),
    "saved-head": dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["lm_head", "norm"]),
    "saved-embedding": dict(
        r=4, lora_alpha=8, target_modules=ALL_LINEAR, modules_to_save=["embed_tokens", "layers.1.mlp"]),
    "saved-tied": dict(
        r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"],
        ensure_weight_tying=True),
    "tokens": dict(r=4, lora_alpha=8, target_modules=["q_proj"], trainable_token_indices=[42, 7, 300]),
    "tokens-apart": dict(
        r=4, lora_alpha=8, target_modules=["q_proj"],
        trainable_token_indices={"embed_tokens": [42, 7], "lm_head": [7, 8, 9]}),
    "pissa": dict(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "down_proj"], init_lora_weights="pissa"),
    "olora": dict(
        r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "k_proj", "down_proj"],
        init_lora_weights="olora"),
    # PEFT's modules for the family.
    "ia3": dict(method=IA3Config),
    "ia3-named": dict(
        method=IA3Config, target_modules=["q_proj", "o_proj", "up_proj", "gate_proj"],
        feedforward_modules=["o_proj", "gate_proj"], exclude_modules=["layers.0.mlp.up_proj"]),
    "ia3-regex": dict(
        method=IA3Config, target_modules=r".*\.layers\.1\..*_proj", feedforward_modules=r".*\.(o|down)_proj"),
    "ia3-saved": dict(
        method=IA3Config, target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"],
        modules_to_save=["norm", "layers.0.mlp.up_proj"]),
    "ia3-head": dict(method=IA3Config, target_modules=["v_proj", "lm_head"], feedforward_modules=[]),
    "ia3-head-input": dict(
        method=IA3Config, target_modules=["v_proj", "lm_head"], feedforward_modules=["lm_head"]),
}


def make_adapter(model, name: str, base: str, a_std: float, b_std: float, method=LoraConfig, **options):
    """An adapter that is not its own start (B is not zero, scales are not one), so that forgetting it shows."""
    # Not a path of this machine: PEFT writes it into adapter_config.json.
    model.name_or_path = model.config._name_or_path = base
    options = {"lora_dropout": 0.0, **options} if method is LoraConfig else options
    adapted = get_peft_model(model, method(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "magnitude" in key or "ia3_" in key:
                parameter.mul_(1 + seeded(f"{name}/{key}", parameter.shape, std=0.3))
            elif "lora_" in key:
                parameter.copy_(seeded(f"{name}/{key}", parameter.shape, std=a_std if "lora_A" in key else b_std))
            elif parameter.requires_grad:
                parameter.add_(seeded(f"{name}/{key}", parameter.shape, std=0.05))
    return adapted


def save(adapted, folder: pathlib.Path, dtype=torch.float32) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    adapted.to(dtype).save_pretrained(folder)
    (folder / "README.md").unlink()


def on_and_merged(base, folder: pathlib.Path, sequences: list[list[int]]) -> dict:
    adapted = PeftModel.from_pretrained(base, folder).eval()
    modules = {
        name.removeprefix("base_model.model."): (
            {"r": module.r["default"], "scaling": module.scaling["default"]} if hasattr(module, "lora_A")
            else {"is_feedforward": module.is_feedforward})
        for name, module in adapted.named_modules()
        if "default" in getattr(module, "r", {}) or hasattr(module, "ia3_l")}
    on = [token_log_probabilities(adapted, tokens) for tokens in sequences]
    merged = adapted.merge_and_unload()
    return {"modules": modules, "adapted": on,
            "merged": [token_log_probabilities(merged, tokens) for tokens in sequences]}


def generate_tiny(folder: pathlib.Path, base: str) -> None:
    source = FIXTURES / "models" / base
    sequences = [torch.randint(0, 384, (length,), generator=torch.Generator().manual_seed(length)).tolist()
                 for length in LENGTHS]
    golden = {"sequences": sequences,
              "base": [token_log_probabilities(load_model(source), tokens) for tokens in sequences], "variants": {}}
    for variant, options in VARIANTS.items():
        target = folder / base / variant
        adapted = make_adapter(load_model(source), f"{base}/{variant}", base, a_std=0.2, b_std=0.1, **options)
        save(adapted, target, torch.bfloat16 if variant.endswith("bf16") else torch.float32)
        golden["variants"][variant] = on_and_merged(load_model(source), target, sequences)
    write_json(folder / base / "golden.json", golden)


def generate_smollm2(folder: pathlib.Path) -> None:
    name = "smollm2-start"
    adapted = make_adapter(
        load_smollm2_gguf(), name, "HuggingFaceTB/SmolLM2-135M-Instruct", a_std=0.05, b_std=0.01, r=4, lora_alpha=8,
        target_modules=["q_proj", "v_proj"])
    save(adapted, folder / name)
    tokenizer = load_smollm2_tokenizer()
    sequences = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in _smollm2.TEXTS]
    texts = [{"tokens": tokens, "nll": {}, "nll_merged": {}} for tokens in sequences]
    for source, base in {"gguf": load_smollm2_gguf(), "folder": load_model(smollm2_folder())}.items():
        numbers = on_and_merged(base, folder / name, sequences)
        for text, on, merged in zip(texts, numbers["adapted"], numbers["merged"], strict=True):
            text["nll"][source] = [-value for value in on]
            text["nll_merged"][source] = [-value for value in merged]
    write_json(folder / "smollm2-start.json", {"texts": texts})


def generate(folder: pathlib.Path) -> None:
    for base in ["tiny-llama", "tiny-qwen2"]:
        generate_tiny(folder, base)
    other = LlamaForCausalLM(LlamaConfig(
        vocab_size=384, hidden_size=32, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16))
    save(make_adapter(other, "other-hidden-size", "another-model", a_std=0.2, b_std=0.1, **VARIANTS["qv"]),
         folder / "other-hidden-size")
    generate_smollm2(folder)
