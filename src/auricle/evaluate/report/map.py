"""The map: every tested clip as a point, near where the encoder finds it; the most telling ones can be heard."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from auricle.data.manifest import Manifest
from auricle.errors import AuricleError
from auricle.evaluate.cache import EmbeddingCache
from auricle.evaluate.evaluation import Evaluation, Prediction
from auricle.evaluate.labels import labelled
from auricle.evaluate.report.html import script_safe, section, text
from auricle.evaluate.report.projection import chosen_rows, two_dimensions
from auricle.evaluate.report.view import RunView
from auricle.evaluate.task import Task
from auricle.inference.embed_settings import EmbedSettings

TELLING = 60
WIDTH, HEIGHT, EDGE = 720, 560, 14
COLOURS = 8
OUTLINES = (
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z",
    "M-4.5-4.5h9v9h-9Z",
    "M0-6L5.6 4.5h-11.2Z",
    "M0-6.3L6.3 0 0 6.3-6.3 0Z",
)
TITLE = "Map of the embeddings"


@dataclass(frozen=True)
class Mapped:
    """Clips in a plane: ids, points (n, 2) in [0, 1], and how they came there."""

    ids: tuple[str, ...]
    points: np.ndarray
    method: str


def task_manifest(evaluation: Evaluation) -> Manifest | None:
    """The clips that were evaluated, if their table is still there."""
    import warnings

    names = {f.name for f in fields(Task)}
    said = {k: v for k, v in evaluation.settings.get("task", {}).items() if k in names}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return labelled(Task(**said).manifest())
    except (AuricleError, OSError, TypeError):
        return None


def mapped(run: RunView, evaluation: Evaluation, manifest: Manifest, telling: list[str]) -> Mapped:
    """Embeddings from the cache (made again if they are gone), in two dimensions. Raises AuricleError without them."""
    from auricle.hub.load import load

    said = evaluation.settings
    task, encode = said.get("task", {}), {k: _tuple(v) for k, v in said.get("encode", {}).items()}
    settings = EmbedSettings(**encode, seconds=task.get("seconds", 0.0))
    found = EmbeddingCache().embed(manifest, load(run.path), settings, what="map")
    if not found.ids:
        raise AuricleError("none of its clips can be read any more, and their embeddings are not in the cache")
    row = {id: i for i, id in enumerate(found.ids)}
    rows = chosen_rows(len(found.ids), np.array([row[id] for id in telling if id in row], dtype=np.int64))
    return Mapped(tuple(found.ids[i] for i in rows), *two_dimensions(found.clip[rows]))


def telling_clips(evaluation: Evaluation, most: int = TELLING) -> list[str]:
    """Mistakes, the most confident first, then the right answers that were least sure."""
    right = sorted((p for p in evaluation.predictions if p.right), key=lambda p: max(p.scores, default=0.0))
    return list(dict.fromkeys(p.id for p in [*evaluation.mistakes(most), *right]))[:most]


def map_section(run: RunView, evaluation: Evaluation | None, manifest: Manifest | None, heard: dict[str, str]) -> str:
    """``heard``: clip id -> key in the page's store of sounds."""
    if evaluation is None:
        return ""
    if manifest is None:
        return section("map", TITLE, '<p class="none">No map: the evaluated clips are not where they were.</p>')
    try:
        found = mapped(run, evaluation, manifest, list(heard))
    except AuricleError as error:
        return section("map", TITLE, f'<p class="none">No map: {text(error)}</p>')
    said = (
        f"{len(found.ids)} clips of {evaluation.task}; {found.method}. Neighbours sound alike to the encoder; "
        "distances between far groups mean little. Point at a clip to see it; the solid ones play on a click, and "
        "those of them with a ring are mistakes."
    )
    return section("map", TITLE, _legend(evaluation) + _plot(found, evaluation, heard), text(said))


def _plot(found: Mapped, evaluation: Evaluation, heard: dict[str, str]) -> str:
    """The drawing, clips that can be heard on top, and what the pointer reads out."""
    predictions = {p.id: p for p in evaluation.predictions}
    order = sorted(range(len(found.ids)), key=lambda i: found.ids[i] in heard)
    points = "".join(_point(i, found, predictions.get(found.ids[i]), evaluation, heard) for i in order)
    tips = json.dumps([_tip(id, predictions.get(id), heard) for id in found.ids], separators=(",", ":"))
    return (
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{TITLE}">{points}</svg>'
        f'<script type="application/json" id="map-data">{script_safe(tips)}</script>'
    )


def _point(i: int, found: Mapped, prediction: Prediction | None, evaluation: Evaluation, heard: dict[str, str]) -> str:
    id, c = found.ids[i], len(evaluation.classes)
    if prediction and prediction.true:
        c = evaluation.classes.index(prediction.true[0])
    x = EDGE + found.points[i, 0] * (WIDTH - 2 * EDGE)
    y = HEIGHT - EDGE - found.points[i, 1] * (HEIGHT - 2 * EDGE)
    kind = f"c{c % COLOURS}" + " heard" * (id in heard) + " wrong" * bool(prediction and not prediction.right)
    focus = f' tabindex="0" role="button" aria-label="play {text(id)}"' if id in heard else ""
    place = f'transform="translate({x:.0f} {y:.0f})" d="{shape(c)}"'
    return f'<path class="{kind}" data-i="{i}" data-class="{c}"{focus} {place}/>'


def shape(c: int) -> str:
    """Circle, square, triangle or diamond: classes that share a colour differ in it."""
    return OUTLINES[c // COLOURS % len(OUTLINES)]


def _tip(id: str, prediction: Prediction | None, heard: dict[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {"id": id}
    if prediction:
        said |= {
            "true": ", ".join(prediction.true),
            "said": prediction.predicted,
            "p": round(max(prediction.scores), 3),
        }
        said["right"] = prediction.right
    return said | ({"sound": heard[id]} if id in heard else {})


def _legend(evaluation: Evaluation) -> str:
    keys = [
        f'<li><button data-class="{c}" aria-pressed="false"><svg viewBox="-7 -7 14 14" aria-hidden="true">'
        f'<path class="c{c % COLOURS}" d="{shape(c)}"/></svg>{text(name)}</button></li>'
        for c, name in enumerate(evaluation.classes)
    ]
    return f'<ul class="legend classes">{"".join(keys)}</ul>'


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
