"""Rows as TRL's SFTTrainer prepares them where boundaries are hard: a tokenizer that adds BOS, tokens that merge across prompt and
completion, ends of sequence that are there already."""

import json
import pathlib
import shutil
import tempfile

from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from ._common import FIXTURES, load_model, write_json

SOURCE = FIXTURES / "models" / "tiny-llama"
BOS, EOS = "<|endoftext|>", "<|im_end|>"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + ': ' + message['content'] | trim"
    " + eos_token + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant: ' }}{% endif %}")

PLAIN = [
    ("Two and two is", " four."),
    ("The tide tab", "le is on the wall."),
    ("Say it with a space: ", "done"),
    ("Say it with two spaces: ", " done"),
    ("It is over.", f" Yes.{EOS}"),
    ("", "No prompt at all."),
    ("No completion at all.", ""),
    ("Ends in an é", "́ that the next letter changes ☕"),
    ("A long prompt that leaves the answer no room at all, as it goes on and on and on.", " Dropped."),
    ("A long answer:", " one two three four five six seven eight nine ten eleven twelve thirteen fourteen"),
]
TEXTS = ["A line.", f"Ends already.{EOS}", f"Holds {EOS} inside.", "é", "x" * 90]
CHATS = [
    ([("user", "Hi")], [("assistant", "Ho")]),
    ([("system", "Be kind."), ("user", " Hi ")], [("assistant", " Ho ho. ")]),
    ([("user", "a"), ("assistant", "b"), ("user", "c")], [("assistant", "d"), ("user", "e"), ("assistant", "f")]),
]


def messages(turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


ROWS = {
    "plain": [{"prompt": prompt, "completion": completion} for prompt, completion in PLAIN],
    "text": [{"text": text} for text in TEXTS],
    "chat-completion": [{"prompt": messages(prompt), "completion": messages(answer)} for prompt, answer in CHATS],
    "chat": [{"messages": messages(prompt + answer)} for prompt, answer in CHATS],
}


def make_tokenizer(folder: pathlib.Path):
    """The tiny tokenizer with a post-processor that puts BOS in front, as Llama's does."""
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer.from_file(str(SOURCE / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.loads((SOURCE / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": BOS}, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded("x")["input_ids"][0] == loaded.bos_token_id
    return loaded


def prepared(tokenizer, rows: list[dict], max_length: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as temporary:
        trainer = SFTTrainer(
            model=load_model(SOURCE), processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
            args=SFTConfig(
                output_dir=temporary, packing=False, bf16=False, use_cpu=True, report_to="none", disable_tqdm=True,
                max_length=max_length))
        return [
            {"tokens": row["input_ids"], "trained": [int(label != -100) for label in row["labels"]]}
            for row in trainer.train_dataset]


def generate(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "bos-tokenizer", ignore_errors=True)
    tokenizers = {
        "bos": make_tokenizer(folder / "bos-tokenizer"), "tiny": AutoTokenizer.from_pretrained(SOURCE)}
    for name, rows in ROWS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        golden = [
            {"tokenizer": kind, "max_length": max_length, "prepared": prepared(tokenizer, rows, max_length)}
            for kind, tokenizer in tokenizers.items() for max_length in (1024, 24)]
        write_json(folder / f"{name}.json", {"runs": golden})
