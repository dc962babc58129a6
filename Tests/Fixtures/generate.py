#!/usr/bin/env python3
"""Writes the golden values that the tests compare with: `python Tests/Fixtures/generate.py [area…]`.

An area is a module of `generators/` with one function `generate(folder)`; its files go to the folder of the same name.
Without arguments every area is written. `README.md` says what each file holds.
"""

import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ["torch", "transformers", "peft", "trl", "tokenizers", "safetensors", "gguf", "accelerate", "datasets",
            "jinja2", "numpy", "bitsandbytes"]


def areas() -> list[str]:
    return sorted(path.stem for path in (HERE / "generators").glob("*.py") if not path.stem.startswith("_"))


def record_versions(area: str) -> None:
    """Each area is stamped with what it was last written with: areas are regenerated one at a time."""
    path = HERE / "versions.json"
    versions = json.loads(path.read_text()) if path.exists() else {}
    used = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            used[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    versions[area] = used
    path.write_text(json.dumps(versions, indent=2, sort_keys=True) + "\n")


def main(wanted: list[str]) -> int:
    unknown = [area for area in wanted if area not in areas()]
    if unknown:
        print(f"no generator for {', '.join(unknown)}; there are {', '.join(areas())}", file=sys.stderr)
        return 2
    # One thread and no hub: the same bits on every run.
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false",
                      TQDM_DISABLE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    sys.path.insert(0, str(HERE))
    for area in wanted or areas():
        print(f"{area} …", flush=True)
        folder = HERE / area
        folder.mkdir(exist_ok=True)
        importlib.import_module(f"generators.{area}").generate(folder)
        record_versions(area)
    return 0


if __name__ == "__main__":
    # PEFT writes sets as lists: their order follows the hash seed, which only the environment can set.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main(sys.argv[1:]))
