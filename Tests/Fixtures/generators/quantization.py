"""What bitsandbytes makes of matrices: NF4 codes and scales, and what models compute with the numbers that come back."""

import json
import pathlib

import bitsandbytes.functional as bnb
import numpy as np
import torch
import xxhash

from ._common import (
    FIXTURES, SMOLLM2_GGUF, load_model, load_smollm2_gguf, seeded, token_log_probabilities, write_json, write_tensors)

KINDS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def torch_mean(values: np.ndarray, lanes: int) -> np.float32:
    """torch.mean of f32 on one thread of a processor whose registers hold `lanes` floats, in its own order."""
    f32 = np.float32

    def cascade(rows):
        steps = rows.shape[0]
        power = max(4, max(0, (steps - 1).bit_length()) // 4)
        sums = np.zeros((4,) + rows.shape[1:], f32)
        for step in range(1, steps + 1):
            sums[0] += rows[step - 1]
            for level in range(1, 4):
                if step & (((1 << power) - 1) << ((level - 1) * power)):
                    break
                sums[level] += sums[level - 1]
                sums[level - 1] = 0
        for level in range(1, 4):
            sums[0] += sums[level]
        return sums[0]

    n = len(values)
    width = lanes if n >= lanes else 1
    vectors = n // width
    table = values[:vectors * width].reshape(vectors, width)
    chains = cascade(table[:vectors // 4 * 4].reshape(vectors // 4, 4, width))
    for vector in table[vectors // 4 * 4:]:
        chains[0] += vector
    for chain in range(1, 4):
        chains[0] += chains[chain]
    total = f32(0)
    for value in [*values[vectors * width:], *chains[0]]:
        total = f32(total + value)
    return f32(total / f32(n))


def nested(absmax: torch.Tensor, lanes: int) -> dict[str, torch.Tensor]:
    """Double quantisation with the mean as a processor of that width computes it."""
    offset = torch.tensor(torch_mean(absmax.numpy(), lanes))
    codes, state = bnb.quantize_blockwise(absmax - offset, blocksize=256)
    return {"codes": codes, "scales": state.absmax, "offset": offset.reshape(1)}


def parts(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Everything that bitsandbytes stores for a matrix, with and without double quantisation, and what it gives back."""
    codes, plain = bnb.quantize_4bit(weight, quant_type="nf4")
    _, double = bnb.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    result = {"codes": codes.flatten(), "absmax": plain.absmax, "values": bnb.dequantize_4bit(codes, plain),
              "nested.values": bnb.dequantize_4bit(codes, double)}
    for lanes in (8, 16):
        for name, tensor in nested(plain.absmax, lanes).items():
            result[f"nested.{lanes}.{name}"] = tensor
    own = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
    assert torch.equal(result[f"nested.{own}.offset"][0], double.offset), weight.shape
    assert torch.equal(result[f"nested.{own}.codes"], double.absmax)
    assert torch.equal(result[f"nested.{own}.scales"], double.state2.absmax)
    return result


def int8(weight: torch.Tensor) -> torch.Tensor:
    """The numbers that codes of -127 ... 127 and one scale a row give back."""
    absmax = weight.abs().amax(dim=1, keepdim=True)
    # One division: 127 / tensor would be a reciprocal and a product.
    factor = torch.full_like(absmax, 127).div(absmax)
    codes = torch.where(absmax > 0, torch.round(weight * factor), 0)
    return codes * (absmax / 127)


def nf4(weight: torch.Tensor, double: bool) -> torch.Tensor:
    return bnb.dequantize_4bit(*bnb.quantize_4bit(weight, quant_type="nf4", compress_statistics=double))


STORAGES = {"int8": int8, "nf4": lambda weight: nf4(weight, False), "nf4_double_quant": lambda weight: nf4(weight, True)}


def linears(model):
    return [(name, module) for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and name != "lm_head"]


@torch.no_grad()
def log_probabilities(model, sequences) -> dict[str, list[list[float]]]:
    """For each storage, with every linear layer but the head replaced by what its codes give back."""
    original = {name: module.weight.clone() for name, module in linears(model)}
    results = {}
    for storage, stored in STORAGES.items():
        for name, module in linears(model):
            module.weight.copy_(stored(original[name]))
        results[storage] = [token_log_probabilities(model, tokens) for tokens in sequences]
    for name, module in linears(model):
        module.weight.copy_(original[name])
    return results


def hashes(model) -> dict[str, dict[str, str]]:
    """XXH3 of everything stored for the layers of a kind, one after the other."""
    result = {}
    for kind in KINDS:
        sums = {name: xxhash.xxh3_128() for name in ["codes", "absmax", "nested.8", "nested.16"]}
        for name, module in linears(model):
            if not name.endswith(kind):
                continue
            stored = parts(module.weight.detach())
            sums["codes"].update(stored["codes"].numpy().tobytes())
            sums["absmax"].update(stored["absmax"].numpy().tobytes())
            for lanes in (8, 16):
                for part in ["codes", "scales", "offset"]:
                    sums[f"nested.{lanes}"].update(stored[f"nested.{lanes}.{part}"].numpy().tobytes())
        result[kind] = {name: digest.hexdigest() for name, digest in sums.items()}
    return result


def matrices() -> dict[str, torch.Tensor]:
    steps = torch.arange(64 * 3, dtype=torch.float32)
    levels = bnb.get_4bit_type("nf4", device="cpu")
    ties = torch.cat([levels, (levels[:-1] + levels[1:]) / 2, torch.zeros(33)])
    return {
        "normal": seeded("normal", (48, 128)),
        "bf16": (seeded("bf16", (24, 64)) * 0.02).bfloat16().float(),
        "straddling": seeded("straddling", (37, 53)) ** 3,
        # Two nested blocks.
        "large": (seeded("large", (130, 200)) * 0.02).bfloat16(),
        "odd": seeded("odd", (3, 7)),
        "one": seeded("one", (1, 1)),
        "tiny": torch.stack([torch.zeros(64), torch.full((64,), 1e-39), torch.full((64,), 3e-38)]),
        "equal": torch.ones(4, 64),
        "ties": torch.stack([ties, -ties, ties * 3]),
        "ramp": (steps - 90).reshape(3, 64),
    }


def generate(folder: pathlib.Path) -> None:
    tensors = {}
    for name, weight in matrices().items():
        tensors[f"{name}.weight"] = weight
        for part, tensor in parts(weight.float()).items():
            if name != "large" or not part.endswith("values"):
                tensors[f"{name}.{part}"] = tensor
    # Enough blocks for every level of the sum.
    for count in (600, 9000, 30000, 70000):
        absmax = (torch.arange(count) * 7919 % 10007 + 1).float() / 10007
        for lanes in (8, 16):
            tensors[f"long.{count}.{lanes}"] = torch.tensor([torch_mean(absmax.numpy(), lanes)])
    write_tensors(folder / "nf4.safetensors", tensors)

    tiny = json.loads((FIXTURES / "models/tiny-llama/golden.json").read_text())
    sequences = [sequence["tokens"] for sequence in tiny["sequences"]]
    write_json(folder / "tiny-llama.json", log_probabilities(load_model(FIXTURES / "models/tiny-llama"), sequences))
    if SMOLLM2_GGUF.exists():
        model = load_smollm2_gguf()
        texts = json.loads((FIXTURES / "models/smollm2.json").read_text())["texts"]
        write_json(folder / "smollm2.json", {
            "hashes": hashes(model), "logprobs": log_probabilities(model, [text["tokens"] for text in texts])})
