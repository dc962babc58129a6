#!/usr/bin/env python3
"""Trains each method on the same rows and prints a table of what it costs and what it gains: `make methods`.

Needs the program and the model (`make build model`). Every method sees the same tokens in the same order. With words, only methods
whose names hold one of them.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
GRAFT = REPOSITORY / ".build/release/graft"
COMMON = ["training.max_steps=12", "dataset.tokens_per_batch=512", "dataset.eval=0.05", "output.save_steps=0"]

# Name, recipe, changes to it, and whether it can be merged into the model. Adapters learn at the rates of their recipes; what trains the
# model's own weights has a higher one than for an epoch, since there are few steps. No rate was searched for.
NF4 = ["model.weights=nf4", "model.double_quant=true"]
METHODS = [
    ("LoRA, r 16", "sft-lora", [], "yes"),
    ("rsLoRA, r 64", "sft-lora", ["adapter.r=64", "adapter.lora_alpha=16", "adapter.use_rslora=true"], "yes"),
    ("LoRA+, r 16, ratio 16", "sft-lora", ["optimizer.loraplus_lr_ratio=16", "optimizer.learning_rate=2.0e-4"], "yes"),
    ("DoRA, r 16", "sft-dora", [], "yes"),
    ("QLoRA, r 16", "sft-lora", NF4, "yes"),
    ("QDoRA, r 16", "sft-dora", NF4, "yes"),
    ("IA³", "sft-ia3", [], "yes"),
    ("prompt, 20 tokens", "sft-prompt", [], "no"),
    ("prefix, 10 tokens", "sft-prefix", [], "no"),
    ("bottleneck, 1/16", "sft-bottleneck", [], "no"),
    ("norms only", "sft-full", ["training.trainable=[.*norm.weight]", "optimizer.learning_rate=1.0e-2"], "is a model"),
    ("last 4 layers", "sft-full", ["training.trainable_top_layers=4", "optimizer.learning_rate=3.0e-4"], "is a model"),
    ("every weight", "sft-full", ["optimizer.learning_rate=1.0e-4"], "is a model"),
]


def megabytes(folder: pathlib.Path) -> float:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6


def size(megabytes: float) -> str:
    return f"{megabytes:.0f}" if megabytes >= 10 else f"{megabytes:.2g}"


def run(name: str, recipe: str, changes: list[str], output: pathlib.Path) -> dict:
    sets = [word for change in [*COMMON, *changes, f"output.path={output}"] for word in ("--set", change)]
    command = [str(GRAFT), "train", f"Recipes/{recipe}.yaml", *sets]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr.strip()}")
    trained, share = re.search(r"training ([\d,]+) of [\d,]+ parameters \(([\d.]+) %\)", done.stdout + done.stderr).groups()
    evaluation = json.loads((output / "evaluation.json").read_text())
    steps = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [step for step in steps if "tokens_per_second" in step]
    return {
        "trained": trained, "share": share, "before": evaluation["before"]["perplexity"],
        "after": evaluation["after"]["perplexity"], "error": evaluation["after"]["perplexity_standard_error"],
        "rate": statistics.median(step["tokens_per_second"] for step in steps[1:]),
        "memory": max(step["peak_memory_bytes"] for step in steps) / 1e9, "tokens": sum(step["tokens"] for step in steps),
        "size": megabytes(output)}


def main(wanted: list[str]) -> None:
    methods = [method for method in METHODS if not wanted or any(word in method[0] for word in wanted)]
    print("| method | trained | share | tokens/s | peak memory | perplexity after | file | can be merged |")
    print("|---|---|---|---|---|---|---|---|")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, recipe, changes, merges) in enumerate(methods):
            found = run(name, recipe, changes, pathlib.Path(folder) / str(index))
            print(
                f"| {name} | {found['trained']} | {found['share']} % | {found['rate']:.0f} | {found['memory']:.2f} GB "
                f"| {found['after']:.1f} ± {found['error']:.1f} | {size(found['size'])} MB | {merges} |", flush=True)
    if found:
        print(f"\n{found['tokens']:,} tokens each; perplexity before: {found['before']:.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
