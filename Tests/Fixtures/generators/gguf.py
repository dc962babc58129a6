"""GGUF: blocks of every type with what they stand for, and the tiny models in files as llama.cpp's converter lays them out."""

from __future__ import annotations

import json
import pathlib

import gguf
import numpy
import torch
from gguf import GGMLQuantizationType as Type

from ._common import FIXTURES, load_model, seeded, token_log_probabilities, write_json, write_tensors

# Where the half-precision scales stand in a block: random bytes there would be NaN or huge.
HALVES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82],
    Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
QUANTISABLE = {Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0}
# A usual scale, a negative one, one below the smallest normal half, zero, and two more usual ones.
SCALES = [0.0123, -0.75, 3.0e-6, 0.0, 1.5, 0.00021]


def random_blocks(kind: Type) -> numpy.ndarray:
    size = gguf.GGML_QUANT_SIZES[kind][1]
    generator = torch.Generator().manual_seed(int(kind))
    blocks = torch.randint(0, 256, (len(SCALES), size), generator=generator, dtype=torch.uint8).numpy()
    for row, scale in enumerate(SCALES):
        for place, offset in enumerate(HALVES[kind]):
            half = numpy.array([scale * (1 + 0.37 * place)], dtype=numpy.float16)
            blocks[row, offset:offset + 2] = half.view(numpy.uint8)
    return blocks.reshape(-1)


def write_blocks(path: pathlib.Path) -> None:
    tensors = {}

    def add(kind: Type, data: numpy.ndarray) -> None:
        values = gguf.quants.dequantize(data.reshape(1, -1), kind).astype(numpy.float32).reshape(-1)
        assert not numpy.isnan(values).any(), kind.name
        tensors[f"{kind.name}.bytes"] = torch.from_numpy(data.copy())
        tensors[f"{kind.name}.values"] = torch.from_numpy(values)

    edges = torch.tensor([0.0, -0.0, 1.0, -1.0, 65504.0, 6.0e-8, 6.1e-5, -3.0e-6, float("inf"), float("-inf"), 1e-30])
    plain = torch.cat([edges, seeded("gguf/plain", [53])])
    for kind, dtype in [(Type.F32, torch.float32), (Type.F16, torch.float16), (Type.BF16, torch.bfloat16)]:
        add(kind, plain.to(dtype).view(torch.uint8).numpy())
    for kind in HALVES:
        data = random_blocks(kind)
        if kind in QUANTISABLE:
            row = seeded(f"gguf/{kind.name}", [1, 4 * 32]).numpy()
            data = numpy.concatenate([gguf.quants.quantize(row, kind).view(numpy.uint8).reshape(-1), data])
        add(kind, data)
    write_tensors(path, tensors)


def write_encodings(path: pathlib.Path) -> None:
    """Rows whose blocks try what quantising can get wrong, and the package's bytes for them."""
    values = seeded("gguf/encoded", [64, 96], std=0.05)
    blocks = values.view(-1, 32)
    blocks[0] = 0.0
    blocks[1] = -0.0
    blocks[2] = 0.25
    blocks[3] = -0.25
    # Codes half way between two: k / 127 · 127 and k / 8 with halves.
    blocks[4] = torch.arange(-16, 16) / 2.0
    blocks[5] = torch.arange(32) + 0.5
    blocks[6] = torch.arange(32) / 31.0 * 15
    # Two largest magnitudes of opposite signs: the first one counts.
    blocks[7, 3], blocks[7, 20] = 2.0, -2.0
    blocks[8, 3], blocks[8, 20] = -2.0, 2.0
    blocks[9] *= 1e-6
    blocks[10] *= 1e-20
    blocks[11] *= 1e5
    tensors = {"values": values}
    for kind in (Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1):
        data = gguf.quants.quantize(values.numpy(), kind).view(numpy.uint8)
        tensors[f"{kind.name.lower()}.bytes"] = torch.from_numpy(data.reshape(-1).copy())
    write_tensors(path, tensors)


def permuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The row order of q and k in files of the llama architecture: rotary pairs side by side."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


class ModelFile:
    def __init__(self, source: pathlib.Path, path: pathlib.Path, architecture: str):
        self.source, self.path, self.architecture = source, path, architecture
        self.config = json.loads((source / "config.json").read_text())
        self.model = load_model(source)
        self.writer = gguf.GGUFWriter(path, architecture)
        self.rope = self.config["rope_parameters"]
        self.head_dim = self.config.get("head_dim") or self.config["hidden_size"] // self.config["num_attention_heads"]

    def write_metadata(self, file_type: gguf.LlamaFileType) -> None:
        writer, config = self.writer, self.config
        writer.add_type("model")
        writer.add_name(self.source.name)
        writer.add_file_type(file_type)
        writer.add_quantization_version(2)
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        writer.add_rope_freq_base(self.rope["rope_theta"])
        if self.architecture == "llama":
            writer.add_vocab_size(config["vocab_size"])
            writer.add_rope_dimension_count(self.head_dim)
            writer.add_key_length(self.head_dim)
            writer.add_value_length(self.head_dim)

    def write_rope_scaling(self) -> None:
        kind = self.rope["rope_type"]
        if kind == "linear":
            self.writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            self.writer.add_rope_scaling_factor(self.rope["factor"])
        elif kind == "yarn":
            self.writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            self.writer.add_rope_scaling_factor(self.rope["factor"])
            self.writer.add_rope_scaling_orig_ctx_len(self.rope["original_max_position_embeddings"])
        elif kind == "llama3":
            # No key says so: the tensor divides each frequency.
            plain = self.rope["rope_theta"] ** (-torch.arange(0, self.head_dim, 2).float() / self.head_dim)
            self.writer.add_tensor("rope_freqs.weight", (plain / self.model.model.rotary_emb.inv_freq).numpy())

    def write_tokenizer(self, pre: str) -> None:
        tokenizer = json.loads((self.source / "tokenizer.json").read_text())
        settings = json.loads((self.source / "tokenizer_config.json").read_text())
        special = {token["id"] for token in tokenizer["added_tokens"]}
        ids = {index: token for token, index in tokenizer["model"]["vocab"].items()}
        ids.update({token["id"]: token["content"] for token in tokenizer["added_tokens"]})
        tokens, types = [], []
        for index in range(self.config["vocab_size"]):
            tokens.append(ids.get(index, f"[PAD{index}]"))
            kind = gguf.TokenType.CONTROL if index in special else gguf.TokenType.NORMAL
            types.append(kind if index in ids else gguf.TokenType.UNUSED)
        template = self.source / "chat_template.jinja"
        writer = self.writer
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
        writer.add_bos_token_id(self.config["bos_token_id"])
        writer.add_eos_token_id(self.config["eos_token_id"])
        writer.add_pad_token_id(self.config["pad_token_id"])
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(False)
        writer.add_chat_template(template.read_text() if template.exists() else settings["chat_template"])

    def write_weights(self, kind: Type) -> None:
        """Vectors stay F32. What the file rounds off is rounded off in `self.model` too."""
        names = gguf.get_tensor_name_map(
            gguf.MODEL_ARCH[self.architecture.upper()], self.config["num_hidden_layers"])
        heads = {"q_proj": self.config["num_attention_heads"], "k_proj": self.config["num_key_value_heads"]}
        with torch.no_grad():
            for key, parameter in self.model.named_parameters():
                name = names.get_name(key, try_suffixes=(".weight", ".bias"))
                turned = self.architecture == "llama" and key.split(".")[-2] in heads
                weight = permuted(parameter, heads[key.split(".")[-2]]) if turned else parameter
                own = kind if parameter.dim() == 2 else Type.F32
                data = gguf.quants.quantize(weight.detach().contiguous().numpy(), own)
                self.writer.add_tensor(name, data, raw_dtype=own)
                if own == Type.Q8_0:
                    exact = torch.from_numpy(gguf.quants.dequantize(
                        gguf.quants.quantize(parameter.detach().numpy(), own), own))
                    parameter.copy_(exact)

    def close(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def write_model(folder: pathlib.Path, base: str, kind: Type, file_type: gguf.LlamaFileType, name: str = "") -> ModelFile:
    architecture = "qwen2" if "qwen2" in base else "llama"
    file = ModelFile(FIXTURES / "models" / base, folder / f"{name or base}.gguf", architecture)
    if base == "tiny-yarn":
        # llama.cpp reads the other keys its own way; with these alone both agree.
        file.rope = json.loads((file.source / "config.defaults.json").read_text())["rope_parameters"]
    file.write_metadata(file_type)
    file.write_rope_scaling()
    file.write_tokenizer("qwen2" if architecture == "qwen2" else "smollm")
    file.write_weights(kind)
    file.close()
    return file


def check(path: pathlib.Path, golden: pathlib.Path) -> None:
    """transformers' own GGUF reader must find the folder's numbers in the file."""
    from transformers import GgufConfig

    model = load_model(path.parent, gguf_file=path.name, quantization_config=GgufConfig(dequantize=True))
    for sequence in json.loads(golden.read_text())["sequences"]:
        found = token_log_probabilities(model, sequence["tokens"])
        assert numpy.allclose(found, sequence["logprobs"], atol=1e-5), path.name


def generate(folder: pathlib.Path) -> None:
    write_blocks(folder / "blocks.safetensors")
    write_encodings(folder / "encoded.safetensors")
    models = FIXTURES / "models"
    files = gguf.LlamaFileType
    write_model(folder, "tiny-llama", Type.F32, files.ALL_F32)
    write_model(folder, "tiny-llama-untied", Type.F16, files.MOSTLY_F16)
    for base in ["tiny-llama3-rope", "tiny-linear-rope", "tiny-yarn", "tiny-qwen2"]:
        write_model(folder, base, Type.BF16, files.MOSTLY_BF16)

    file = write_model(folder, "tiny-llama", Type.Q8_0, files.MOSTLY_Q8_0, name="tiny-llama-q8_0")
    sequences = json.loads((models / "tiny-llama" / "golden.json").read_text())["sequences"]
    write_json(folder / "tiny-llama-q8_0.json", {"sequences": [
        {"tokens": sequence["tokens"], "logprobs": token_log_probabilities(file.model, sequence["tokens"])}
        for sequence in sequences]})

    for base in ["tiny-llama", "tiny-llama-untied", "tiny-qwen2"]:
        check(folder / f"{base}.gguf", models / base / "golden.json")
    check(folder / "tiny-llama-q8_0.gguf", folder / "tiny-llama-q8_0.json")
