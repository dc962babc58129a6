#!/usr/bin/env python3
"""Adapters as mlx-lm saves them, and what it computes with them: `python Tests/Fixtures/judges/run_mlx_lm.py`.

It is run by hand where mlx-lm is installed (`pip install 'mlx[cpu]' mlx-lm`) and `graft` is built. It writes
`adapters/mlx/<name>/` and `adapters/mlx.json`.
"""

import importlib.metadata
import json
import pathlib
import shutil
import subprocess
import tempfile

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import load_model, save_config

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
GRAFT = FIXTURES.parent.parent / ".build/release/graft"
VARIANTS = {
    "lora": dict(type="lora", num_layers=-1, rank=4, scale=10.0, keys=["self_attn.q_proj", "self_attn.v_proj"]),
    "dora": dict(type="dora", num_layers=1, rank=3, scale=1.5, keys=None),
}
WRITTEN = ["all-linear", "rslora", "patterns-rslora", "exclude", "dora", "dora-rslora"]


def model(base):
    loaded = load_model(FIXTURES / "models" / base)[0]
    loaded.set_dtype(mx.float32)
    return loaded


def log_probabilities(model, tokens):
    logits = model(mx.array([tokens]))[0].astype(mx.float32)
    logs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return [logs[i, token].item() for i, token in enumerate(tokens[1:])]


def main():
    mx.set_default_device(mx.cpu)
    found = {"versions": {name: importlib.metadata.version(name) for name in ["mlx", "mlx-lm"]}}
    for base in ["tiny-llama", "tiny-qwen2"]:
        sequences = json.loads((FIXTURES / "adapters" / base / "golden.json").read_text())["sequences"]
        found[base] = {"saved": {}, "loaded": {}}
        for name, options in VARIANTS.items():
            folder = FIXTURES / "adapters" / "mlx" / base / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            parameters = {key: options[key] for key in ["rank", "scale", "keys"]} | {"dropout": 0.0}
            adapted = model(base)
            adapted.freeze()
            linear_to_lora_layers(adapted, options["num_layers"], parameters, use_dora=options["type"] == "dora")
            mx.random.seed(len(name) + options["rank"])
            trained = [
                (key, value * (1 + 0.2 * mx.random.normal(value.shape)) if key.endswith(".m")
                 else 0.1 * mx.random.normal(value.shape))
                for key, value in tree_flatten(adapted.trainable_parameters())]
            adapted.update(tree_unflatten(trained))
            mx.save_safetensors(str(folder / "adapters.safetensors"), dict(trained))
            save_config({
                "model": base, "fine_tune_type": options["type"], "num_layers": options["num_layers"], "iters": 100,
                "lora_parameters": parameters}, folder / "adapter_config.json")
            found[base]["saved"][name] = [log_probabilities(adapted, tokens) for tokens in sequences]
        for name in WRITTEN:
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run([
                    GRAFT, "export", "--model", FIXTURES / "models" / base, "--to", "mlx", "--adapter",
                    FIXTURES / "adapters" / base / name, "--output", folder + "/mlx"], check=True, capture_output=True)
                adapted = load_adapters(model(base), folder + "/mlx")
                found[base]["loaded"][name] = [log_probabilities(adapted, tokens) for tokens in sequences]
    text = json.dumps(found)
    (FIXTURES / "adapters" / "mlx.json").write_text(text.replace(": {", ": {\n").replace("]], ", "]],\n") + "\n")


if __name__ == "__main__":
    main()
