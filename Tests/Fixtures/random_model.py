#!/usr/bin/env python3
"""Writes a Llama-shaped model folder with random bf16 weights: for memory and speed of sizes that nobody wants to download.

    python3 Tests/Fixtures/random_model.py OUT --tokenizer FOLDER [--layers 22 --hidden 2048 --intermediate 5632 ...]

The defaults are TinyLlama's shape, 1.1 billion parameters, 2.2 GB. Needs nothing but Python. The weights are a block of normal
numbers over and over, which is all the same to time and memory.
"""
import argparse, json, os, random, shutil, struct

p = argparse.ArgumentParser()
p.add_argument("out")
p.add_argument("--tokenizer", required=True, help="a folder with tokenizer.json")
p.add_argument("--layers", type=int, default=22)
p.add_argument("--hidden", type=int, default=2048)
p.add_argument("--intermediate", type=int, default=5632)
p.add_argument("--heads", type=int, default=32)
p.add_argument("--key-value-heads", type=int, default=4)
p.add_argument("--vocabulary", type=int, default=32000)
a = p.parse_args()

keys = a.hidden // a.heads * a.key_value_heads
shapes = {"model.embed_tokens.weight": [a.vocabulary, a.hidden], "lm_head.weight": [a.vocabulary, a.hidden],
          "model.norm.weight": [a.hidden]}
for i in range(a.layers):
    for name, shape in {
        "self_attn.q_proj": [a.hidden, a.hidden], "self_attn.k_proj": [keys, a.hidden], "self_attn.v_proj": [keys, a.hidden],
        "self_attn.o_proj": [a.hidden, a.hidden], "mlp.gate_proj": [a.intermediate, a.hidden],
        "mlp.up_proj": [a.intermediate, a.hidden], "mlp.down_proj": [a.hidden, a.intermediate], "input_layernorm": [a.hidden],
        "post_attention_layernorm": [a.hidden],
    }.items():
        shapes[f"model.layers.{i}.{name}.weight"] = shape

numbers = random.Random(0)
block = b"".join(struct.pack("<f", numbers.gauss(0, 0.02))[2:] for _ in range(1 << 20))
ones = struct.pack("<f", 1.0)[2:]

header, end = {}, 0
for name, shape in shapes.items():
    size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
    header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
    end += size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)

os.makedirs(a.out, exist_ok=True)
with open(os.path.join(a.out, "model.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        if "norm" in name:
            f.write(ones * (size // 2))
            continue
        for start in range(0, size, len(block)):
            f.write(block[:min(len(block), size - start)])
json.dump({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": a.hidden, "intermediate_size": a.intermediate,
    "num_hidden_layers": a.layers, "num_attention_heads": a.heads, "num_key_value_heads": a.key_value_heads,
    "vocab_size": a.vocabulary, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": False, "attention_bias": False, "torch_dtype": "bfloat16",
}, open(os.path.join(a.out, "config.json"), "w"), indent=2)
for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
    path = os.path.join(a.tokenizer, name)
    if os.path.exists(path):
        shutil.copy(path, a.out)
