"""Adapters of models that got new tokens: what the tokenizer makes of them, and what PEFT computes with their trained rows."""

import pathlib

from peft import PeftModel
from tokenizers import AddedToken
from transformers import AutoTokenizer

from ._common import FIXTURES, load_model, token_log_probabilities, write_json
from .adapters import make_adapter, save

PLAIN = ["<thought>", "keeper"]
SPECIAL = ["<|done|>"]
TEXTS = [
    "A <thought> of the keeper <|done|> and another<thought>.",
    "keepers keep <|done|><|done|>; The keeper's lamp is lit.",
]


def resized(base: str, tokenizer):
    model = load_model(FIXTURES / "models" / base)
    # The rows are all replaced by trained ones.
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return model


def generate(folder: pathlib.Path) -> None:
    golden = {"plain": PLAIN, "special": SPECIAL, "models": {}}
    for base in ["tiny-llama", "tiny-llama-untied"]:
        tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "models" / base)
        first = len(tokenizer)
        tokenizer.add_tokens(PLAIN)
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL],
                             special_tokens=True)
        ids = list(range(first, len(tokenizer)))
        tables = ids if base == "tiny-llama" else {"embed_tokens": ids, "lm_head": ids}
        target = folder / base
        save(make_adapter(resized(base, tokenizer), f"new-tokens/{base}", base, a_std=0.2, b_std=0.1, r=4, lora_alpha=8,
                          target_modules=["q_proj", "v_proj"], trainable_token_indices=tables), target)
        tokenizer.save_pretrained(target)
        adapted = PeftModel.from_pretrained(resized(base, tokenizer), target).eval()
        texts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
        golden["models"][base] = {
            "ids": texts, "decoded": [tokenizer.decode(ids, skip_special_tokens=True) for ids in texts],
            "logprobs": [token_log_probabilities(adapted, ids) for ids in texts]}
    golden["texts"] = TEXTS
    write_json(folder / "golden.json", golden)
