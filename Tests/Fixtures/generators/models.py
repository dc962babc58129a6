"""Tiny models with random weights, saved by transformers, and what transformers computes with them."""

import json
import pathlib
import shutil
import tempfile

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from . import _smollm2
from ._common import load_model, seeded, token_log_probabilities, write_json, write_tensors

VOCABULARY = 384
LENGTHS = [5, 17, 48, 90]
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
SHAPE = dict(
    vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)

CHATML = (
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n")

# Enough English for a hundred merges; written for this file.
CORPUS = """
The keeper of the lighthouse wrote every evening what the sea had been doing. When the wind came from the west the
gulls went inland, and when it came from the east they stood on the wall and waited. She counted the ships, the bells
and the hours of rain. What is the use of counting? asked the boy who brought the bread. The use, she said, is that
tomorrow I shall know whether today was strange. There were nights with nothing to write, and she wrote that too:
nothing, and the lamp burned well. You are asking me how to mend a net, then listen: begin with the largest hole, and
do not hurry. The answer to a question is often another question, but not always. There is a time for the answer.
Where are the keys of the boat? In the box under the stairs, with the charts, the candles and the letters. Thank you.
def count(ships): return sum(ship.seen for ship in ships)
The train leaves at 10:45 and arrives at 12:30; the ticket costs 7.50 and the seat is number 62.
I'm sure it's raining, we'll see what they've done, you'd better not. Is that so? Yes, that is so.
"""

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def make_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE; the pre-tokenizer is SmolLM2's (digits one by one, GPT-2's pattern) or Qwen2's."""
    tokenizer = Tokenizer(models.BPE())
    if family == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([CORPUS], trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>",
        unk_token="<|endoftext|>", chat_template=CHATML, model_max_length=128)


def fill(model, name: str) -> None:
    """Weights large enough that attention, positions, norms and biases all show in the logits."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            norm = key.endswith("norm.weight")
            parameter.copy_(seeded(f"{name}/{key}", parameter.shape, std=0.15, mean=1.0 if norm else 0.0))


def save(folder: pathlib.Path, model, dtype: torch.dtype, family: str, **options) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    fill(model, folder.name)
    model.to(dtype).save_pretrained(folder, **options)
    # Qwen2's folder keeps its template inside tokenizer_config.json, as older folders do.
    make_tokenizer(family).save_pretrained(folder, save_jinja_files=family != "qwen2")


@torch.no_grad()
def write_golden(folder: pathlib.Path, suffix: str = "", model_folder=None) -> None:
    model = load_model(model_folder or folder)
    sequences, tensors = [], {}
    for index, length in enumerate(LENGTHS):
        generator = torch.Generator().manual_seed(length)
        tokens = torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()
        positions = sorted({0, 1, length // 2, length - 1})
        output = model(torch.tensor([tokens]), output_hidden_states=True)
        sequences.append({
            "tokens": tokens, "positions": positions, "logprobs": token_log_probabilities(model, tokens)})
        tensors[f"logits.{index}"] = output.logits[0, positions]
        tensors[f"hidden.{index}"] = output.hidden_states[-1][0, positions]
        if index == 0:
            # Before the first layer and after each but the last: where a difference begins.
            for layer, states in enumerate(output.hidden_states[:-1]):
                tensors[f"layer_input.{layer}"] = states[0]
    write_json(folder / f"golden{suffix}.json", {"sequences": sequences})
    write_tensors(folder / f"golden{suffix}.safetensors", tensors)


def write_config(folder: pathlib.Path, name: str, change: dict, remove: tuple = ()) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key in remove:
        config.pop(key, None)
    config.update(change)
    (folder / name).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def with_config(folder: pathlib.Path, name: str, work) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        copy = pathlib.Path(temporary) / folder.name
        shutil.copytree(folder, copy)
        shutil.copy(folder / name, copy / "config.json")
        work(copy)


def write_hub_config(folder: pathlib.Path, rope_scaling: dict | None, **change) -> None:
    """config.json as older transformers wrote it, checked to give the same numbers."""
    theta = json.loads((folder / "config.json").read_text())["rope_parameters"]["rope_theta"]
    write_config(
        folder, "config.hub.json",
        {"rope_theta": theta, "rope_scaling": rope_scaling, "torch_dtype": "float32", "transformers_version": "4.44.0",
         **change},
        remove=("rope_parameters", "dtype", "layer_types", "head_dim"))
    golden = json.loads((folder / "golden.json").read_text())["sequences"]

    def check(copy):
        model = load_model(copy)
        for sequence in golden:
            assert token_log_probabilities(model, sequence["tokens"]) == sequence["logprobs"], folder.name

    with_config(folder, "config.hub.json", check)


def write_other_config(folder: pathlib.Path, variant: str, change: dict, remove: tuple = ()) -> None:
    """The same weights under another configuration: `config.<variant>.json` with `golden.<variant>.*`."""
    write_config(folder, f"config.{variant}.json", change, remove)
    with_config(folder, f"config.{variant}.json",
                lambda copy: write_golden(folder, f".{variant}", model_folder=copy))


def generate(folder: pathlib.Path) -> None:
    llama = lambda **change: LlamaForCausalLM(LlamaConfig(**{
        **SHAPE, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "rope_parameters": DEFAULT_ROPE, **change}))

    target = folder / "tiny-llama"
    save(target, llama(), torch.float32, "llama")
    write_golden(target)
    write_hub_config(target, None)

    # head_dim is not hidden_size / num_attention_heads here.
    target = folder / "tiny-llama-untied"
    save(target, llama(tie_word_embeddings=False, head_dim=32, attention_bias=False, mlp_bias=False), torch.float16,
         "llama", max_shard_size="100KB")
    write_golden(target)

    target = folder / "tiny-llama3-rope"
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 32}
    save(target, llama(rope_parameters={**scaling, "rope_theta": 10000.0}), torch.bfloat16, "llama")
    write_golden(target)
    write_hub_config(target, scaling)

    target = folder / "tiny-linear-rope"
    save(target, llama(rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}), torch.bfloat16,
         "llama")
    write_golden(target)
    write_hub_config(target, {"type": "linear", "factor": 4.0})

    target = folder / "tiny-yarn"
    # The ramp goes from dimension 1 to 4 of 8.
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "attention_factor": 0.8,
               "beta_fast": 1.5, "beta_slow": 0.25}
    save(target, llama(max_position_embeddings=256, rope_parameters={**scaling, "rope_theta": 10000.0}),
         torch.bfloat16, "llama")
    write_golden(target)
    write_hub_config(target, scaling)
    # beta_fast, beta_slow and attention_factor left to their defaults.
    write_other_config(target, "defaults", {"rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 10000.0}})

    target = folder / "tiny-qwen2"
    shape = {**SHAPE, "vocab_size": VOCABULARY + 16}
    qwen2 = Qwen2ForCausalLM(Qwen2Config(**{
        **shape, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "use_sliding_window": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}))
    save(target, qwen2, torch.bfloat16, "qwen2")
    write_golden(target)
    # Published Qwen2 configurations name a window that use_sliding_window turns off.
    write_hub_config(target, None, sliding_window=16, use_sliding_window=False, max_window_layers=1)
    write_other_config(target, "window", {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1},
                       remove=("layer_types",))

    _smollm2.generate(folder / "smollm2.json")
