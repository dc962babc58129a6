#!/usr/bin/env python3
"""Trains a reward model on four fifths of a file of preference pairs, judges the rest, five times: `make reward-folds PAIRS=file.jsonl`.

Prints the accuracy over all pairs with its 95 % interval (Wilson's). Further words are settings (`--set`). Needs the program and
the model (`make build model`). With FOLDS=folder the folds' results are kept there, and those that are there are not made again.
"""

import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
GRAFT = os.environ.get("GRAFT", str(REPOSITORY / ".build/release/graft"))
MODEL = "Models/SmolLM2-135M-Instruct.gguf"
FOLDS = 5
# So few pairs teach a head and little more: the adapter is on the last layers alone, at a low rate. What is below them is computed
# forward and not backward.
SETTINGS = [
    "model.precision=bf16", "dataset.eval=null", "dataset.max_length=1536", "dataset.rows_per_batch=4", "dataset.cache=false",
    "adapter.layers_to_transform=[28, 29]", "optimizer.learning_rate=5.0e-5", "optimizer.head_learning_rate=2.0e-2",
    "training.epochs=1", "output.save_steps=0"]


def graft(*arguments: str) -> str:
    return subprocess.run([GRAFT, *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout


def judge(fold: int, lines: list[str], order: list[int], folder: pathlib.Path, settings: list[str]) -> dict:
    """The card of the pairs that are left out of one fold; none is left out for its length."""
    result = folder / f"fold-{fold}.json"
    if not result.exists():
        held = set(order[fold::FOLDS])
        for name, chosen in (("train", False), ("rest", True)):
            rows = [line for index, line in enumerate(lines) if (index in held) == chosen]
            (folder / f"{name}-{fold}.jsonl").write_text("".join(rows))
        run = str(folder / f"run-{fold}")
        changes = [*SETTINGS, f"dataset.train={folder}/train-{fold}.jsonl", f"output.path={run}", *settings]
        graft("train", "Recipes/reward-lora.yaml", "--overwrite", *(word for change in changes for word in ("--set", change)))
        card = graft(
            "evaluate", "--model", MODEL, "--adapter", run, "--precision", "bf16", "--data", f"{folder}/rest-{fold}.jsonl",
            "--max-length", "8192", "--json")
        result.write_text(card)
    return json.loads(result.read_text())


def main(path: str, settings: list[str]) -> None:
    lines = [line + "\n" for line in pathlib.Path(path).read_text().split("\n") if line.strip()]
    order = list(range(len(lines)))
    random.Random(1).shuffle(order)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(os.environ.get("FOLDS", temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        cards = []
        for fold in range(FOLDS):
            cards.append(judge(fold, lines, order, folder, settings))
            print(f"fold {fold + 1}: {cards[-1]['accuracy']:.3f} of {cards[-1]['pairs']}", flush=True)
    pairs = sum(card["pairs"] for card in cards)
    share = sum(card["accuracy"] * card["pairs"] for card in cards) / pairs
    z = 1.959963984540054
    centre, scale = share + z * z / (2 * pairs), 1 + z * z / pairs
    spread = z * math.sqrt(share * (1 - share) / pairs + z * z / (4 * pairs * pairs))
    print(f"{share:.3f} of {pairs} pairs ranked correctly, 95 % interval {(centre - spread) / scale:.3f} to "
          f"{(centre + spread) / scale:.3f}; skipped {sum(card['skipped'] for card in cards)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
