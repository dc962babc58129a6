"""Folders in NF4 that transformers and bitsandbytes saved, and what they compute with them."""

import json
import pathlib
import shutil

import torch

from ._common import FIXTURES, token_log_probabilities, write_json


def generate(folder: pathlib.Path) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    source = FIXTURES / "models" / "tiny-llama"
    sequences = [s["tokens"] for s in json.loads((source / "golden.json").read_text())["sequences"]]
    golden = {}
    for name, double in [("nf4", False), ("nf4-double", True)]:
        target = folder / name
        shutil.rmtree(target, ignore_errors=True)
        settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double,
                                      bnb_4bit_compute_dtype=torch.float32)
        model = AutoModelForCausalLM.from_pretrained(
            source, quantization_config=settings, dtype=torch.float32, attn_implementation="eager", device_map="cpu").eval()
        model.save_pretrained(target)
        (target / "generation_config.json").unlink(missing_ok=True)
        again = AutoModelForCausalLM.from_pretrained(target, attn_implementation="eager", device_map="cpu").eval()
        golden[name] = [token_log_probabilities(again, tokens) for tokens in sequences]
        shutil.copy(source / "tokenizer.json", target)
    write_json(folder / "golden.json", golden)
