"""Small tokenizers of the kinds that language models use, and what Hugging Face `tokenizers` makes of hard texts with them."""

import json
import pathlib
import random

import xxhash
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers.convert_slow_tokenizer import generate_merges

from ._common import REPOSITORY, SMOLLM2_FOLDER

SHARED = REPOSITORY.parent / "shared" / "data"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

TRAINING = [
    "The river was low that autumn, and the ferryman walked his boat across more often than he rowed it.",
    "She said that the clock in the station had been wrong since the summer, and that nobody had thought to tell it.",
    "Nothing is so quiet as a workshop on the morning after a fair: shavings on the floor, a kettle, one cold lamp.",
    "def area(width, height):\n    return width * height\n\n\nfor row in table:\n    print(row[0], row[1])\n",
    "Don't wait for me; I'll be late. They've gone ahead, we're still here, he's asleep and you'd know it's true.",
    "There were 12 chairs, 24 plates, 365 days and 1,000 reasons to go home before 10:30 in the evening.",
    "Der Fluss war in diesem Herbst niedrig, und die Fähre fuhr nicht. Où est la gare? Le café était fermé déjà.",
    "Река обмелела, и паромщик шёл пешком. Το ποτάμι ήταν χαμηλό. النهر منخفض هذا الخريف. นาฬิกาที่สถานีเดินผิด",
    "川の水は少なかった。時計は夏から止まっていた。河水很浅，船夫牵着船走过去。강물이 얕았다.",
    "🙂 🙂 👍🏽 👩‍👩‍👧 🇩🇪   three   spaces\n\n\ttab\ttab\r\nend  ",
] * 4 + ["the other word and the other words, another wording, a word for a word"] * 6

TEXTS = [
    "", " ", "  ", "\n", "\n\n", " \n ", "\t\tx", "a  b   c    d", "trailing   ", "   leading", "\r\n\r\n", "a\u00a0b",
    "\u3000全角", "\u2028x\u2029y", "\u0085next", "0123456789 12 345 6789 1,234.56 ²³¹ ¼½ ٣٤٥ ४५६ Ⅷ ① 一二三", "7" * 40,
    "don't I'LL we've YOU'RE it'S 'd 'm ''s ''' 'ſ 'ſt x'ſ 'K", "v1.2.3-rc4 C++ C# a_b-c.d/e\\f $100 €50",
    "👩‍👩‍👧‍👦 family", "🏳️‍🌈🇩🇪🇫🇷 flags", "👍🏽👍🏿☺️ ☺︎", "e\u0301e\u0300 n\u0303 Å\u212b\u00c5", "Z̷̛̗a̴̢͝l̶̨̛g̷̢̛o̸̡͝",
    "ﬁ ﬃ ｆｕｌｌ　ｗｉｄｔｈ ①②③ ㍿", "中文分词没有空格，真的。", "日本語のテキスト、カタカナ ﾊﾝｶｸ が か\u3099",
    "한국어 텍스트 \u1112\u1161\u11ab 각\u11a8", "العربية نصٌّ مُشكَّل ١٢٣", "עִבְרִית", "ภาษาไทยไม่มีช่องว่าง", "हिन्दी में पाठ क्षत्रिय", "தமிழ்",
    "Русский текст", "Ελληνικά ΐ ΰ", "Tiếng Việt có dấu", "İstanbul ıI ẞß ſ ǆ Ǆ", "\x00\x01\x02\x1f\x7f a\x00b \x08\x0b\x0c",
    "\ufeffBOM \u200b\u200c\u200d\u200e\u2060", "\ufffd\ufffe\uffff \U0010ffff\U000e0001 \ue000\uf8ff", "\u180e\u1680x",
    "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|><|endoftext|>", "a<s>b</s>c <s> d", "<unk>", " <pad> ", "x <mask> y",
    "<|im_start", "<| im_start |>", "[INST] hello [/INST]", "  <sep>  x", "foo<sep>bar", "foo <sep>, WORD worded Word word words",
    "<sep> <sep>\n\n<sep>", "<sep><mask><sep>", "def f(x):\n    return x**2  # comment\n\n\tif a != b: pass",
    "https://example.com/a?b=c&d=%20e", "…“quotes” ‘x’ – — !!!???...", "camelCaseHTTPServer ALLCAPS", "the other words " * 8,
    " " * 70, "\n" * 40, "ab" * 300, "the" * 400, "word" + "s" * 400, "🤗" * 20, "é" * 60 + "e\u0301" * 20, "▁x ▁▁ y", "Ġhello Ċ",
    "x▁y", "<0x0A><0xFF>", "\U00030000\U0001f6dc\U00020000\u9ffd", "𝒳𝓎𝔃 𝟘𝟙 ½x ⅔", "a\u0300\u0301\u0302b \u0300start a\u0327\u0301",
    "\u0344 \u0958 \u2126 \u212a", "\u1100\u1161\u11a8\u11a8",
]


def random_texts(count: int) -> list[str]:
    """Random runs of characters from many scripts, and of pieces that sit badly together."""
    chance = random.Random(7)
    ranges = [(0x20, 0x7F)] * 6 + [(0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x900, 0xA00), (0xE00, 0xE80), (0x1100, 0x1200),
                                   (0x1E00, 0x2100), (0x3040, 0x3100), (0x4E00, 0x4E80), (0xAC00, 0xAC40), (0x1F300, 0x1F400)]
    pool = [chr(c) for a, b in ranges for c in range(a, b)] + list("\u200d\ufe0f\n\r\t'  ") * 40
    pieces = ["<s>", "</s>", "<|im_end|>", "<sep>", "<mask>", " ", "  ", "\n", "a", "word", "Word", "é", "\u00a0", "'s", "123", "the"]
    return (["".join(chance.choice(pool) for _ in range(chance.randint(1, 30))) for _ in range(count)]
            + ["".join(chance.choice(pieces) for _ in range(chance.randint(1, 12))) for _ in range(count)])


# The tokenizers

def train(tokenizer: Tokenizer, size: int, **options) -> Tokenizer:
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(vocab_size=size, show_progress=False, **options))
    return tokenizer


def byte_level(size: int, steps: list, normalizer=None, specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>")) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, size, special_tokens=list(specials), initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def metaspace_model(size: int, normalizer, pre_tokenizer) -> Tokenizer:
    """A SentencePiece-style model: `<unk>`, `<s>`, `</s>`, the 256 bytes, and pieces that start with ▁."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    # Trained on words; what runs afterwards may be without a pre-tokenizer.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    train(tokenizer, size, special_tokens=specials, limit_alphabet=120, initial_alphabet=["▁"])
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    state["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(state))
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


def smollm_like() -> Tokenizer:
    tokenizer = byte_level(900, [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([AddedToken("<sep>", lstrip=True, rstrip=True), AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens([AddedToken("word", single_word=True), AddedToken("  \n", normalized=False), "étage", "ing"])
    return tokenizer


def qwen_like() -> Tokenizer:
    tokenizer = byte_level(
        800, [pre_tokenizers.Split(Regex(WORDS + r"\p{N}" + REST), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)],
        normalizers.NFC())
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False)
    # A token that is looked for after normalisation, in its normalised form.
    tokenizer.add_tokens([AddedToken("cafe\u0301", normalized=True)])
    return tokenizer


def llama3_like() -> Tokenizer:
    tokenizer = byte_level(
        800, [pre_tokenizers.Split(Regex(WORDS + r"\p{N}{1,3}" + REST), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)],
        specials=("<|begin_of_text|>", "<|eot_id|>"))
    state = json.loads(tokenizer.to_str())
    state["model"]["ignore_merges"] = True
    # Tokens that no merge makes, so that ignoring merges shows.
    for extra in ["Ġquiet", "notmerged", "é"]:
        state["model"]["vocab"].setdefault(extra, len(state["model"]["vocab"]))
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", 0)])])
    return tokenizer


def llama2_like() -> Tokenizer:
    tokenizer = metaspace_model(700, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> <s>:1 $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken("<sep>", rstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("<mask>", normalized=True)])
    return tokenizer


def mistral_like() -> Tokenizer:
    tokenizer = metaspace_model(700, None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["[INST]", "[/INST]"])
    return tokenizer


def gemma_like() -> Tokenizer:
    tokenizer = metaspace_model(
        700, normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ["\n\n", "\n", "▁▁", "[INST]"]])
    return tokenizer


TOKENIZERS = {
    "byte-level": (smollm_like, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": {"content": "<|im_end|>"},
                                 "unk_token": "<|endoftext|>", "chat_template": "{{ messages[0].content }}"}),
    "qwen2": (qwen_like, {"bos_token": None, "eos_token": {"content": "<|im_end|>", "lstrip": False}, "pad_token": "[not there]",
                          "add_bos_token": False, "chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]}),
    "llama3": (llama3_like, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
    "llama2": (llama2_like, {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": False}),
    "mistral": (mistral_like, {"add_bos_token": True, "add_eos_token": False}),
    "gemma": (gemma_like, None),
}


# Pipelines of single components, put in the place of those of a tokenizer above

def split(pattern, behavior: str, invert: bool = False):
    return pre_tokenizers.Split(pattern, behavior, invert)


def components() -> list[dict]:
    P, N, D = pre_tokenizers, normalizers, decoders
    raw = P.ByteLevel(add_prefix_space=False, use_regex=False)
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    suffix = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    gpt4o = (r"[^\r\n\p{L}\p{N}]?" + upper + "*" + lower + "+" + suffix + r"|[^\r\n\p{L}\p{N}]?" + upper + "+" + lower + "*" + suffix
             + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    deepseek = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
                r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    bytes_ = [
        ("nfkc", {"normalizer": N.NFKC()}), ("nfd", {"normalizer": N.NFD()}), ("nfkd", {"normalizer": N.NFKD()}),
        ("nfc", {"normalizer": N.NFC()}), ("lowercase", {"normalizer": N.Lowercase()}),
        ("accents", {"normalizer": N.Sequence([N.NFD(), N.StripAccents()])}),
        ("strip", {"normalizer": N.Strip()}), ("strip right", {"normalizer": N.Strip(left=False, right=True)}),
        ("replace", {"normalizer": N.Replace(Regex(r"[aeiou]+\s"), "…")}), ("prepend", {"normalizer": N.Prepend("▁ ")}),
        ("byte level first", {"normalizer": N.ByteLevel(), "pre_tokenizer": None}),
        *[(f"split {b}", {"pre_tokenizer": P.Sequence([split("t", b), raw])}) for b in behaviors],
        *[(f"split regex {b}", {"pre_tokenizer": P.Sequence([split(Regex(r"\s+|[aeiou]"), b), raw])}) for b in behaviors],
        *[(f"split inverted {b}", {"pre_tokenizer": P.Sequence([split(Regex(r"\w+"), b, True), raw])}) for b in behaviors],
        ("split empty", {"pre_tokenizer": P.Sequence([split(Regex(r"(?=(\d{3})+(?!\d))"), "isolated"), raw])}),
        ("split lines", {"pre_tokenizer": P.Sequence([split(Regex(r"^.|\s+$"), "isolated"), raw])}),
        ("gpt4o", {"pre_tokenizer": P.Sequence([split(Regex(gpt4o), "isolated"), raw])}),
        ("deepseek", {"pre_tokenizer": P.Sequence([*[split(Regex(p), "isolated") for p in deepseek], raw])}),
        ("scripts", {"pre_tokenizer": P.Sequence([split(Regex(r"\p{Han}+|\h\h+|[\w.]+"), "isolated"), raw])}),
        ("words", {"pre_tokenizer": P.Sequence([split(Regex(r"\b[[:upper:]]\w*|\d{1,3}(?=(?:\d{3})*\b)|[[:alpha:]][[:space:]]\B"), "isolated"), raw])}),
        ("digits", {"pre_tokenizer": P.Sequence([P.Digits(), raw])}),
        ("punctuation", {"pre_tokenizer": P.Sequence([P.Punctuation(), raw])}),
        ("whitespace", {"pre_tokenizer": P.Sequence([P.Whitespace(), raw])}),
        ("whitespace split", {"pre_tokenizer": P.Sequence([P.WhitespaceSplit(), raw])}),
        ("delimiter", {"pre_tokenizer": P.Sequence([P.CharDelimiterSplit("e"), raw])}),
        ("prefix space", {"pre_tokenizer": P.ByteLevel(add_prefix_space=True)}),
        ("prefix each", {"pre_tokenizer": P.Sequence([P.Digits(), P.ByteLevel(add_prefix_space=True)])}),
        ("falcon", {"pre_tokenizer": P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(),
                                                 split(Regex("[0-9][0-9][0-9]"), "isolated")])}),
        ("no decoder", {"decoder": None}),
    ]
    pieces = [
        *[(f"metaspace {s} {c}", {"normalizer": None, "pre_tokenizer": P.Metaspace(prepend_scheme=s, split=c),
                                  "decoder": D.Metaspace(prepend_scheme=s)}) for s in ["always", "first", "never"] for c in [True, False]],
        ("metaspace digits", {"normalizer": None, "pre_tokenizer": P.Sequence([P.Digits(individual_digits=True), P.Metaspace()])}),
        ("strip decoder left", {"decoder": D.Sequence([D.Strip("▁", 2, 0), D.Fuse()])}),
        ("strip decoder right", {"decoder": D.Sequence([D.Strip("e", 0, 1), D.Fuse()])}),
        ("replace decoder", {"decoder": D.Sequence([D.Replace(Regex("[aeiou▁]+"), "_"), D.Fuse()])}),
    ]
    return ([{"name": name, "base": "byte-level", "changes": changes} for name, changes in bytes_]
            + [{"name": name, "base": "llama2", "changes": changes} for name, changes in pieces])


# What is written down

def byte_offsets(text: str, encoding) -> list[int]:
    """Offsets in UTF-8 bytes; special tokens put around the text have an empty range at its start or end."""
    place = [0]
    for character in text:
        place.append(place[-1] + len(character.encode()))
    flat, seen_text = [], False
    for special, sequence, (start, end) in zip(encoding.special_tokens_mask, encoding.sequence_ids, encoding.offsets):
        if special and sequence is None:
            flat += [place[-1] if seen_text else 0] * 2
        else:
            seen_text = True
            flat += [place[start], place[end]]
    return flat


def golden(tokenizer: Tokenizer, texts: list[str]) -> dict:
    encodings = [tokenizer.encode(text) for text in texts]
    return {"ids": [e.ids for e in encodings],
            "offsets": [byte_offsets(text, e) for text, e in zip(texts, encodings)],
            "decoded": [tokenizer.decode(e.ids, skip_special_tokens=False) for e in encodings],
            "skipped": [tokenizer.decode(e.ids, skip_special_tokens=True) for e in encodings]}


def data_hashes(tokenizer: Tokenizer) -> dict:
    """A hash of the ids of every line of every file of the shared data: little-endian words, -1 after each line."""
    hashes = {}
    for path in sorted(p for p in SHARED.iterdir() if p.suffix in (".json", ".jsonl", ".txt")):
        state, count = xxhash.xxh3_128(), 0
        lines = path.read_bytes().decode().split("\n")
        for encoding in tokenizer.encode_batch(lines, add_special_tokens=False):
            state.update(b"".join(i.to_bytes(4, "little", signed=True) for i in encoding.ids + [-1]))
            count += len(encoding.ids)
        hashes[path.name] = {"lines": len(lines), "tokens": count, "hash": state.hexdigest()}
    return hashes


def scored_vocabulary(llama2: Tokenizer) -> tuple[dict, Tokenizer]:
    """The vocabulary of a SentencePiece model as GGUF has it, with ties among its scores, and the tokenizer that transformers makes of it."""
    vocabulary = llama2.get_vocab(with_added_tokens=False)
    tokens = sorted(vocabulary, key=vocabulary.get)
    scores = {token: 0.0 if identity < 259 else -float((identity - 259) // 2) for token, identity in vocabulary.items()}
    types = [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259)
    types[-3] = 4
    skip = {token for token, type_ in zip(tokens, types) if type_ in (2, 3, 6)}
    ordered = [(token, scores[token]) for token in tokens]
    state = json.loads(llama2.to_str())
    state["model"]["merges"] = generate_merges(vocabulary, ordered, skip_tokens=skip)
    user = {**state["added_tokens"][0], "id": len(tokens) - 3, "content": tokens[-3], "special": False}
    state["added_tokens"] = [*state["added_tokens"][:3], user]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return {"tokens": tokens, "scores": [scores[token] for token in tokens], "types": types}, tokenizer


def write(path: pathlib.Path, value) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def generate(folder: pathlib.Path) -> None:
    texts = TEXTS + random_texts(60)
    built, goldens = {}, {}
    for name, (make, configuration) in TOKENIZERS.items():
        built[name] = tokenizer = make()
        home = folder / name
        home.mkdir(exist_ok=True)
        state = json.loads(tokenizer.to_str())
        if name == "qwen2":
            state["model"]["merges"] = [" ".join(pair) for pair in state["model"]["merges"]]
        write(home / "tokenizer.json", state)
        if configuration:
            write(home / "tokenizer_config.json", configuration)
        golden_tokenizer = tokenizer
        if name == "mistral":
            # Only the configuration says that BOS is added, and special_tokens_map.json which token it is.
            write(home / "special_tokens_map.json", {"bos_token": "<s>", "eos_token": {"content": "</s>"}})
            golden_tokenizer = Tokenizer.from_str(tokenizer.to_str())
            golden_tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B:1", special_tokens=[("<s>", 1)])
        goldens[name] = golden(golden_tokenizer, texts)
    vocabulary, scored = scored_vocabulary(built["llama2"])
    write(folder / "scored.json", {**vocabulary, **golden(scored, texts)})
    write(folder / "goldens.json", {"texts": texts, "tokenizers": goldens})

    few = TEXTS[1:3] + TEXTS[7:10] + TEXTS[15:18] + TEXTS[21:27] + TEXTS[31:38] + TEXTS[47:58] + random_texts(4)
    cases = []
    for case in components():
        tokenizer = Tokenizer.from_str(built[case["base"]].to_str())
        for key, value in case["changes"].items():
            setattr(tokenizer, key, value)
        state = json.loads(tokenizer.to_str())
        result = golden(tokenizer, few)
        cases.append({"name": case["name"], "base": case["base"], "changes": {key: state[key] for key in case["changes"]},
                      "ids": result["ids"], "offsets": result["offsets"],
                      "decoded": result["decoded"] if "decoder" in case["changes"] else None})
    write(folder / "components.json", {"texts": few, "cases": cases})

    if SHARED.is_dir():
        hashes = {name: data_hashes(tokenizer) for name, tokenizer in built.items()}
        if (SMOLLM2_FOLDER / "tokenizer.json").exists():
            hashes["SmolLM2-135M-Instruct"] = data_hashes(Tokenizer.from_file(str(SMOLLM2_FOLDER / "tokenizer.json")))
        write(folder / "shared-data.json", hashes)
