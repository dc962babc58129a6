"""What transformers' Jinja renders: whole templates over a list of conversations, and single expressions and statements."""

import datetime
import json
import pathlib

from transformers.utils import chat_template_utils as transformers_chat

from ._common import write_json
from ._template_cases import CONTEXT, CONVERSATIONS, EXPRESSIONS, STATEMENTS, TOOLS

NOW = datetime.datetime(2026, 3, 4, 9, 5, 7)


class FixedClock(datetime.datetime):
    """`strftime_now` asks this class for the time."""

    @classmethod
    def now(cls, tz=None):
        return NOW


def compiled(source: str):
    return transformers_chat._cached_compile_jinja_template(source)


def render(source: str, conversation: dict, add_generation_prompt: bool) -> dict:
    """The text, or the error; with the ranges of UTF-8 bytes that `{% generation %}` wrote where there are such blocks."""
    given = json.loads(json.dumps(conversation))
    messages = transformers_chat._alias_reasoning_fields(given["messages"])
    try:
        text, ranges = transformers_chat._render_with_assistant_indices(
            compiled(source), messages, given.get("tools"), given.get("documents"), add_generation_prompt,
            bos_token="<s>", eos_token="</s>", **given.get("variables", {}))
    except Exception as error:  # a template's own objection, or Jinja's
        own = type(error).__name__ == "TemplateError"
        return {"error": str(error) if own else ""}
    result = {"text": text}
    if "endgeneration" in source:
        result["generation"] = [[len(text[:edge].encode()) for edge in pair] for pair in ranges]
    return result


def single(source: str) -> dict:
    try:
        return {"source": source, "text": compiled(source).render(**json.loads(json.dumps(CONTEXT)))}
    except Exception as error:
        return {"source": source, "error": type(error).__name__}


def fnv1a(data: bytes) -> str:
    """A 64-bit hash that both sides write in three lines."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def trl_renders() -> dict:
    """TRL's own templates are not copied here: of each render only the length and a hash are kept."""
    import trl

    folder = pathlib.Path(trl.__file__).parent / "chat_templates"
    templates, renders = {}, []
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        templates[path.stem] = fnv1a(source.encode())
        for conversation in CONVERSATIONS:
            for prompt in (False, True):
                result = render(source, conversation, prompt)
                entry = [path.stem, conversation["name"], prompt]
                if "error" in result:
                    entry.append(result["error"])
                else:
                    data = result["text"].encode()
                    entry += [len(data), fnv1a(data)]
                    if "generation" in result:
                        entry.append(result["generation"])
                renders.append(entry)
    return {"trl": trl.__version__, "templates": templates, "renders": renders}


def generate(folder: pathlib.Path) -> None:
    transformers_chat.datetime = FixedClock
    write_lines(folder / "conversations.json", CONVERSATIONS)
    write_json(folder / "context.json", CONTEXT)
    write_lines(folder / "expressions.json", [single("{{ " + expression + " }}") for expression in EXPRESSIONS])
    write_lines(folder / "statements.json", [single(source) for source in STATEMENTS])
    renders = []
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        for conversation in CONVERSATIONS:
            for prompt in (False, True):
                renders.append({
                    "template": path.stem, "conversation": conversation["name"], "add_generation_prompt": prompt,
                    **render(source, conversation, prompt)})
    write_lines(folder / "renders.json", renders)
    write_trl(folder / "trl.json", trl_renders())


def write_lines(path: pathlib.Path, rows: list) -> None:
    """One row a line, so that a change shows as the rows it touches."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("[\n" + lines + "\n]\n")


def write_trl(path: pathlib.Path, value: dict) -> None:
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in value["renders"])
    head = json.dumps({"trl": value["trl"], "templates": value["templates"]})
    path.write_text(head[:-1] + ', "renders": [\n' + rows + "\n]}\n")
