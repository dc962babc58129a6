"""What transformers computes with SmolLM2-135M-Instruct: from the GGUF file in f32, and from a bf16 folder made of it."""

import pathlib

import torch

from ._common import (
    load_model, load_smollm2_gguf, load_smollm2_tokenizer, smollm2_folder, token_log_probabilities, write_json)

TEXTS = [
    "The lighthouse keeper kept two clocks, one for the tide and one for the train, and trusted neither. On the "
    "fourteenth of March the tide clock stopped at 3:27 in the morning, an hour before low water, and she noticed only "
    "because the gulls had begun to walk about on sand that should still have been wet. She wound it, set it by the "
    "stars, and wrote a single line in the book: clock wrong, sea right.",

    "To make a simple vegetable soup, start by warming two tablespoons of oil in a large pot. Add one chopped onion, "
    "two carrots cut into coins and a stick of celery, and let them soften for about ten minutes without browning. "
    "Pour in 1.5 litres of water, add half a teaspoon of salt, three potatoes in cubes and a handful of green beans. "
    "Simmer for 20 to 25 minutes. Taste it before you serve it: most soups need more salt than you think, and a "
    "squeeze of lemon does what a third carrot cannot.",

    "def running_mean(values):\n    \"\"\"Yields the mean of what has been seen so far.\"\"\"\n    total = 0.0\n"
    "    for count, value in enumerate(values, start=1):\n        total += value\n        yield total / count\n\n\n"
    "if __name__ == \"__main__\":\n    print(list(running_mean([3, 5, 10])))  # [3.0, 4.0, 6.0]\n",

    "Bridges fail for dull reasons. A drain blocks, water finds a seam, salt finds the steel, and for thirty years "
    "nothing happens that a driver would notice. The engineers who inspect them carry hammers, because a sound span "
    "rings and a rotten one answers with a thud, and no instrument has yet been found that is cheaper or harder to "
    "fool. In 1987 a survey of 412 small bridges in one county found that 61 of them could no longer carry the weight "
    "painted on their signs. Nine were closed that week. The rest were given new signs, which is the least expensive "
    "repair there is, and the one most often chosen. A sign costs forty dollars; a bearing costs four thousand; a "
    "bridge, if it comes to that, costs a school. So the argument about bridges is never about bridges. It is about "
    "how long a thing that has always stood may be expected to go on standing, and about who will be in the room when "
    "the answer turns out to be wrong. The county's last chief inspector, asked on the day he retired what he had "
    "learned in forty years, thought for a while and said that he had learned to listen for the thud.",

    "Wer spät sät, erntet im Regen. Après la pluie, le beau temps — dit-on. 雨の後は晴れ。 "
    "Prices: €4.20, £3.75, ¥612; 50 % off!  Temperature: −7 °C 🙂\n\n\tIndented line,   three spaces.",
]

PROMPTS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "You answer in one short sentence."},
     {"role": "user", "content": "Why is the sky blue?"}],
    [{"role": "user", "content": "Name three animals that live in the sea."},
     {"role": "assistant", "content": "Whales, octopuses and herring."},
     {"role": "user", "content": "Which of them is the largest?"}],
    [{"role": "user", "content": "Write a two-line poem about a lantern."}],
]
NEW_TOKENS = 24


@torch.no_grad()
def greedy(model, prompt: list[int]) -> tuple[list[int], list[float]]:
    """The most likely token, 24 times or up to the end of the turn, and how far each stood above the second."""
    tokens, gaps = list(prompt), []
    while len(gaps) < NEW_TOKENS and (not gaps or tokens[-1] != model.config.eos_token_id):
        best = model(torch.tensor([tokens])).logits[0, -1].topk(2)
        tokens.append(best.indices[0].item())
        gaps.append((best.values[0] - best.values[1]).item())
    return tokens[len(prompt):], gaps


def prompt_tokens(tokenizer, messages) -> tuple[str, list[int]]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text, tokenizer(text, add_special_tokens=False)["input_ids"]


def generate(path: pathlib.Path) -> None:
    tokenizer = load_smollm2_tokenizer()
    sources = {"gguf": load_smollm2_gguf(), "folder": load_model(smollm2_folder())}
    texts = []
    for text in TEXTS:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        texts.append({"text": text, "tokens": tokens, "nll": {
            name: [-value for value in token_log_probabilities(model, tokens)] for name, model in sources.items()}})
    prompts = []
    for messages in PROMPTS:
        rendered, tokens = prompt_tokens(tokenizer, messages)
        answers = {}
        for name, model in sources.items():
            answer, gaps = greedy(model, tokens)
            answers[name] = {"tokens": answer, "text": tokenizer.decode(answer), "gaps": gaps}
        prompts.append({"messages": messages, "rendered": rendered, "tokens": tokens, "greedy": answers})
    write_json(path, {"texts": texts, "prompts": prompts})
