#!/usr/bin/env python3
"""What llama.cpp makes of the files that `graft export` writes: `python Tests/Fixtures/judges/run_llama_cpp.py`.

It is run by hand, where the package llama-cpp-python (with gguf, safetensors, numpy) is installed, `graft` is built and the
model is fetched (`make build model`), and writes `llama_cpp/verdict.json` and `llama_cpp/blocks.safetensors`. The tests compare what Graft
computes from the same files with it.
"""

import ctypes
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import llama_cpp
import numpy
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = FIXTURES.parent.parent
GRAFT = REPOSITORY / ".build/release/graft"
MODEL = REPOSITORY / "Models/SmolLM2-135M-Instruct.gguf"
TYPES = ["f32", "f16", "bf16", "q8_0", "q6_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0"]
NEW_TOKENS = 24
F32 = 0  # ggml's code


def rounded(values) -> list[float]:
    return [round(float(value), 6) for value in values]


def export(model, output, *flags) -> pathlib.Path:
    subprocess.run([GRAFT, "export", "--model", model, "--output", output, *flags], check=True, capture_output=True)
    return output


class Judge:
    """A file in llama.cpp, with keys and values in f32 and no flash attention: what differs is then the products."""

    def __init__(self, path, adapter=None):
        self.llama = llama_cpp.Llama(
            str(path), n_ctx=512, n_batch=512, n_threads=2, n_threads_batch=2, logits_all=True, verbose=False, type_k=F32,
            type_v=F32, flash_attn=False, lora_path=adapter and str(adapter))

    def logits(self, tokens) -> numpy.ndarray:
        self.llama.reset()
        self.llama.eval(tokens)
        return self.llama.scores[:len(tokens)].astype(numpy.float64)

    def log_probabilities(self, tokens) -> list[float]:
        logits = self.logits(tokens)[:-1]
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[numpy.arange(len(tokens) - 1), tokens[1:]]
        return rounded(chosen - numpy.log(numpy.exp(logits).sum(axis=1)))

    def greedy(self, tokens, end) -> tuple[list[int], list[float]]:
        """The most likely token, 24 times or up to the end of the turn, and how far each stood above the second."""
        new, gaps = [], []
        row = self.logits(tokens)[-1]
        while len(new) < NEW_TOKENS:
            second, best = numpy.argsort(row)[-2:].tolist()
            new.append(best)
            gaps.append(round(float(row[best] - row[second]), 4))
            if best == end:
                break
            self.llama.eval([best])
            row = self.llama.scores[len(tokens) + len(new) - 1].astype(numpy.float64)
        return new, gaps

    def tokens(self, text) -> list[int]:
        return self.llama.tokenize(text.encode(), add_bos=False, special=True)


def read(name):
    return json.loads((FIXTURES / name).read_text())


def tiny(folder) -> dict:
    """Every type of every tiny model, and every adapter of LoRA beside its model."""
    models, adapters = {}, {}
    for base in ["tiny-llama", "tiny-qwen2"]:
        source = FIXTURES / "models" / base
        sequences = read(f"adapters/{base}/golden.json")["sequences"]
        for kind in TYPES:
            file = export(source, folder / f"{base}-{kind}.gguf", "--to", "gguf", "--type", kind, "--force")
            models[f"{base}/{kind}"] = [Judge(file).log_probabilities(tokens) for tokens in sequences]
        for variant in ["qv", "all-linear", "rslora", "patterns", "patterns-rslora", "layers", "regex"]:
            lora = export(source, folder / f"{base}-{variant}.gguf", "--to", "gguf-lora", "--adapter",
                          FIXTURES / "adapters" / base / variant)
            judge = Judge(folder / f"{base}-f32.gguf", lora)
            adapters[f"{base}/{variant}"] = [judge.log_probabilities(tokens) for tokens in sequences]
    return {"models": models, "adapters": adapters}


def answers(judge, texts, prompts) -> dict:
    greedy = [judge.greedy(prompt["tokens"], 2) for prompt in prompts]
    return {"nll": [[-value for value in judge.log_probabilities(text["tokens"])] for text in texts],
            "greedy": [{"tokens": tokens, "gaps": gaps} for tokens, gaps in greedy]}


def real(folder) -> dict:
    golden = read("models/smollm2.json")
    texts, prompts = golden["texts"], golden["prompts"]
    found = {"models": {}}
    for kind in TYPES:
        file = export(MODEL, folder / f"smollm2-{kind}.gguf", "--to", "gguf", "--type", kind, "--force")
        judge = Judge(file)
        found["models"][kind] = answers(judge, texts, prompts)
        if kind == "f32":
            found["tokens"] = [judge.tokens(text["text"]) for text in texts]
            found["prompt_tokens"] = [judge.tokens(prompt["rendered"]) for prompt in prompts]
            found["has_template"] = "tokenizer.chat_template" in judge.llama.metadata
    keeper = REPOSITORY / "Adapters/lantern-keeper"
    lora = export(MODEL, folder / "keeper.gguf", "--to", "gguf-lora", "--adapter", keeper)
    found["keeper"] = answers(Judge(folder / "smollm2-f32.gguf", lora), texts, prompts)
    return found


def sentencepiece(folder) -> dict:
    """A tokenizer of Llama 2's kind, exported with a random model; texts as llama.cpp cuts them."""
    tokenizer = FIXTURES / "tokenizers/llama2"
    described = json.loads((tokenizer / "tokenizer.json").read_text())
    size = 1 + max([*described["model"]["vocab"].values(), *(token["id"] for token in described["added_tokens"])])
    shape = ["--layers", "1", "--hidden", "64", "--intermediate", "96", "--heads", "4", "--key-value-heads", "2"]
    subprocess.run([
        sys.executable, FIXTURES / "random_model.py", folder / "spm", "--tokenizer", tokenizer, *shape, "--vocabulary",
        str(size)], check=True)
    judge = Judge(export(folder / "spm", folder / "spm.gguf", "--to", "gguf", "--type", "f32"))
    # GGUF does not say how these two treat the white space beside them.
    texts = [text for text in read("tokenizers/goldens.json")["texts"] if "<sep>" not in text and "<mask>" not in text]
    return {"texts": texts, "tokens": [judge.tokens(text) for text in texts]}


def blocks(path) -> None:
    """Rows of a real matrix and harder ones, and the bytes that llama.cpp's own quantiser makes of them."""
    tensor = next(tensor for tensor in GGUFReader(MODEL).tensors if tensor.name == "blk.10.ffn_down.weight")
    real = dequantize(tensor.data, tensor.tensor_type)[:32, :256]
    random = numpy.random.default_rng(7)
    hard = random.standard_normal((32, 256)).astype(numpy.float32) * 0.05
    hard[0] = 0
    hard[1] = 0.25
    hard[2] = -0.25
    hard[3] = numpy.abs(hard[3])
    hard[4] = -numpy.abs(hard[4])
    hard[5, 17], hard[6, 40] = 3, -3  # one outlier
    hard[7] *= 1e-6
    hard[8] *= 1e-20
    hard[9] *= 1e4
    hard[10] = numpy.repeat(numpy.arange(8), 32) * 0.01  # runs of equal numbers
    hard[11] += 1  # far from zero
    values = numpy.ascontiguousarray(numpy.concatenate([real, hard]).astype(numpy.float32))
    library = ctypes.CDLL(str(next(pathlib.Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so*"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    tensors = {"values": values}
    for name, code, size in [("q4_k", 12, 144), ("q6_k", 14, 210)]:
        target = numpy.zeros(values.size // 256 * size, numpy.uint8)
        library.ggml_quantize_chunk(code, values.ctypes.data, target.ctypes.data, 0, values.shape[0], 256, None)
        tensors[f"{name}.bytes"] = target
    save_file(tensors, path)


def main() -> None:
    target = FIXTURES / "llama_cpp"
    target.mkdir(exist_ok=True)
    versions = {name: importlib.metadata.version(name) for name in ["llama-cpp-python", "gguf", "numpy"]}
    versions["graft"] = subprocess.run([GRAFT, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    blocks(target / "blocks.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        verdict = {
            "versions": versions, "sentencepiece": sentencepiece(folder), "tiny": tiny(folder), "smollm2": real(folder)}
    text = json.dumps(verdict, indent=1)
    # Lists of numbers on one line.
    text = re.sub(r"\[[\s\d.,eE+-]*\]", lambda found: "[" + ", ".join(found[0][1:-1].split()).replace(",,", ",") + "]", text)
    (target / "verdict.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
