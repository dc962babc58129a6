"""What several generators need: number-exact JSON, seeded tensors, log-probabilities, and the real model."""

import json
import os
import pathlib
import zlib

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = FIXTURES.parent.parent
MODELS = pathlib.Path(os.environ.get("GRAFT_MODELS", REPOSITORY / "Models"))
SMOLLM2_GGUF = MODELS / "SmolLM2-135M-Instruct.gguf"
SMOLLM2_FOLDER = MODELS / "SmolLM2-135M-Instruct"


def write_json(path: pathlib.Path, value) -> None:
    """Floats are written so that reading them gives the same bits; lists of numbers stay on one line."""
    path.write_text(_render(value, 0) + "\n")


def _render(value, depth: int) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        fields = [f"{inner}{json.dumps(str(key))}: {_render(field, depth + 1)}" for key, field in value.items()]
        return "{\n" + ",\n".join(fields) + "\n" + outer + "}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return "[\n" + ",\n".join(inner + _render(item, depth + 1) for item in value) + "\n" + outer + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_tensors(path: pathlib.Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path)


def seeded(name: str, shape, std: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """Normal numbers that depend on the name alone, whatever else is drawn."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32) * std + mean


def floats(tensor: torch.Tensor) -> list[float]:
    return tensor.detach().to(torch.float64).flatten().tolist()


@torch.no_grad()
def token_log_probabilities(model, tokens: list[int]) -> list[float]:
    """log p(token i | tokens before i) for i = 1, 2, …: one fewer than there are tokens."""
    logits = model(torch.tensor([tokens])).logits[0].float()
    chosen = torch.log_softmax(logits[:-1], dim=-1).gather(1, torch.tensor(tokens[1:])[:, None])
    return floats(chosen)


def load_model(folder, **options):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **options)
    return model.eval()


def load_smollm2_gguf():
    """The GGUF file's weights, dequantised to f32."""
    from transformers import GgufConfig

    return load_model(
        SMOLLM2_GGUF.parent, gguf_file=SMOLLM2_GGUF.name, quantization_config=GgufConfig(dequantize=True))


def load_smollm2_tokenizer():
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SMOLLM2_GGUF.parent, gguf_file=SMOLLM2_GGUF.name)
    # transformers ignores tokenizer.ggml.pre = "smollm": the published tokenizer splits digits one by one.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    return tokenizer


def smollm2_folder() -> pathlib.Path:
    """The same model as a Hugging Face folder, rounded to bf16; made from the GGUF file if it is not there."""
    if not (SMOLLM2_FOLDER / "config.json").exists():
        model = load_smollm2_gguf()
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.to(torch.bfloat16).save_pretrained(SMOLLM2_FOLDER)
        load_smollm2_tokenizer().save_pretrained(SMOLLM2_FOLDER)
    return SMOLLM2_FOLDER
