"""Decompositions as numpy computes them, of matrices that a formula gives."""

import pathlib

import numpy as np

from ._common import write_json


def grid(rows: int, columns: int) -> np.ndarray:
    """Numbers between -1 and 1 that look random, exact in f32."""
    i, j = np.arange(rows)[:, None], np.arange(columns)[None, :]
    return ((i * 7919 + j * 6133 + i * j * 131 + i * i * 37) % 2048 - 1024) / 1024


def generate(folder: pathlib.Path) -> None:
    singular = {}
    for rows, columns in [(1, 1), (40, 12), (12, 40), (30, 30), (150, 90), (90, 150)]:
        left, values, right = np.linalg.svd(grid(rows, columns), full_matrices=False)
        kept = min(5, len(values))
        singular[f"{rows}x{columns}"] = {
            "values": values.tolist(),
            "rank": kept, "approximation": ((left[:, :kept] * values[:kept]) @ right[:kept])[:4, :4].flatten().tolist()}
    low = grid(120, 6) @ grid(6, 100)
    singular["product"] = {"values": np.linalg.svd(low, compute_uv=False)[:6].tolist()}
    orthogonal = {}
    for rows, columns in [(1, 1), (12, 5), (5, 12), (9, 9)]:
        q, r = np.linalg.qr(grid(rows, columns))
        orthogonal[f"{rows}x{columns}"] = {"q": q.flatten().tolist(), "r": r.flatten().tolist()}
    write_json(folder / "golden.json", {"svd": singular, "qr": orthogonal})
