"""Of the ten spans nearest to a clip, how many are of its class? Each of 2,400 clips of an index is the query once."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from auricle.index.database import SoundIndex
from auricle.index.search.nearest import NearestSpans
from benchmarks.search.clips import classes_by_path, encoders

TOP_K = 10
WINDOW = 5.0  # seconds: a clip of ESC-10 is one window, and a digit too; the rest of a clip of 5.01 s is left out here


def measure(shared: Path, out: Path, small: str | None) -> None:
    """Print a row per class and encoder; the figures are also written to OUT/precision.json."""
    classes, table = classes_by_path(shared), dict[str, dict[str, float]]()
    for name, encoder in encoders(shared, small).items():
        folder = out / f"index-{name.replace(' ', '-')}"
        config = IndexConfig(tuple(classes), out=str(folder), window=WINDOW, hop=WINDOW)
        report = index_recordings(config, encoder, quiet=False)
        index = SoundIndex.open(folder)
        print(f"{name}: {report}")
        for dtype in ("float32", "float16", "int8"):
            table[f"{name}, {dtype}"] = precision_by_class(index, classes, dtype)
    (out / "precision.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    print(markdown(table, sorted(set(classes.values()))))


def precision_by_class(index: SoundIndex, classes: dict[str, str], dtype: str) -> dict[str, float]:
    """Return the mean share of right ones among the ten recordings nearest to each one, by class."""
    path_of = {span.id: str(Path(span.path).resolve()) for span in index.spans() if span.start == 0}
    ids, vectors = index.vectors(path_of)
    nearest = NearestSpans(ids, vectors, dtype)
    found, _ = nearest.search(vectors, TOP_K + 1)
    shares = defaultdict(list)
    for id, row in zip(ids, found):
        own = classes[path_of[int(id)]]
        others = [other for other in row if other != id][:TOP_K]
        shares[own].append(np.mean([classes[path_of[int(other)]] == own for other in others]))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def markdown(table: dict[str, dict[str, float]], classes: list[str]) -> str:
    """Return the table: a row per class, a column per encoder; means of ESC-10, of the digits and of fewer bits below."""
    columns = [name for name in table if name.endswith("float32")]
    lines = ["| class | " + " | ".join(name.split(",")[0] for name in columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in classes:
        lines.append(f"| {name} | " + " | ".join(f"{100 * table[column][name]:.1f}" for column in columns) + " |")
    for title, wanted in (("ESC-10", False), ("digits", True)):
        kept = [name for name in classes if name.isdigit() == wanted]
        for dtype in ("float32", "float16", "int8"):
            means = [np.mean([table[c.replace("float32", dtype)][name] for name in kept]) for c in columns]
            lines.append(f"| **{title}**, {dtype} | " + " | ".join(f"{100 * value:.2f}" for value in means) + " |")
    return "\n".join(lines)
