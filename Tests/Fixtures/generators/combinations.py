"""Adapters that PEFT combined with `add_weighted_adapter`."""

import pathlib

from peft import PeftModel

from ._common import FIXTURES, load_model, write_json, write_tensors
from .adapters import make_adapter, save

# Two adapters of one rank, a third of another rank on other layers, scaled in other ways.
INPUTS = {
    "a": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], layers_to_transform=[0]),
    "b": dict(r=4, lora_alpha=2, target_modules=["q_proj", "v_proj"], layers_to_transform=[0]),
    "c": dict(r=3, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "k_proj"], layers_to_transform=[0]),
}
CASES = [
    ("linear", "ab", [0.7, 0.3], {}),
    ("linear", "ab", [1.0, -0.5], {}),
    ("cat", "ab", [0.7, -0.3], {}),
    ("cat", "ac", [0.5, 2.0], {}),
    ("svd", "ab", [0.7, 0.3], {}),
    ("svd", "ac", [1.0, -1.0], {"svd_rank": 2}),
    ("ties", "ab", [0.7, 0.6], {"density": 0.5}),
    ("ties", "ab", [1.0, 1.0], {"density": 0.3, "majority_sign_method": "frequency"}),
    ("ties_svd", "ab", [0.7, 0.6], {"density": 0.5, "svd_rank": 3}),
    ("magnitude_prune", "ab", [0.5, -0.4], {"density": 0.6}),
    ("magnitude_prune_svd", "ac", [0.5, 0.4], {"density": 0.25}),
    ("dare_linear", "ab", [0.5, 0.4], {"density": 1.0}),
    ("dare_ties", "ab", [0.5, 0.4], {"density": 1.0}),
    ("dare_linear_svd", "ac", [0.5, 0.4], {"density": 1.0}),
    ("dare_ties_svd", "ab", [0.5, 0.4], {"density": 1.0}),
]


def generate(folder: pathlib.Path) -> None:
    base = FIXTURES / "models" / "tiny-llama"
    for name, options in INPUTS.items():
        save(make_adapter(load_model(base), f"combine/{name}", "tiny-llama", a_std=0.2, b_std=0.1, **options),
             folder / name)
    cases, tensors = [], {}
    for number, (kind, names, weights, options) in enumerate(CASES):
        model = PeftModel.from_pretrained(load_model(base), folder / names[0], adapter_name=names[0])
        for name in names[1:]:
            model.load_adapter(folder / name, adapter_name=name)
        model.add_weighted_adapter(list(names), weights, "result", combination_type=kind, **options)
        for path, module in model.named_modules():
            if hasattr(module, "lora_A") and "result" in module.lora_A:
                a, b = module.lora_A["result"].weight, module.lora_B["result"].weight
                path = path.removeprefix("base_model.model.")
                # Signs of singular vectors are chance: only the product is compared then.
                if "svd" in kind:
                    tensors[f"{number}.{path}.update"] = b @ a
                else:
                    tensors[f"{number}.{path}.A"], tensors[f"{number}.{path}.B"] = a, b
        cases.append({"type": kind, "inputs": list(names), "weights": weights, **options})
    clamped(base, folder)
    write_tensors(folder / "golden.safetensors", tensors)
    write_json(folder / "golden.json", {"cases": cases})


def clamped(base: pathlib.Path, folder: pathlib.Path) -> None:
    """The same factors before and after `svd_clamp`: which signs they have is chance, but both have the same."""
    tensors = {}
    for clamp in (None, 0.95, 0.7):
        model = PeftModel.from_pretrained(load_model(base), folder / "a", adapter_name="a")
        model.load_adapter(folder / "b", adapter_name="b")
        model.add_weighted_adapter(["a", "b"], [0.7, 0.3], "result", combination_type="svd", svd_clamp=clamp)
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        tensors[f"{clamp or 'whole'}.A"] = layer.lora_A["result"].weight
        tensors[f"{clamp or 'whole'}.B"] = layer.lora_B["result"].weight
    write_tensors(folder / "clamped.safetensors", tensors)
