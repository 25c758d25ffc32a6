"""Map of the embeddings: every tested clip as a point; mistakes and unsure clips can be played."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.options import from_plain
from auricle.data.manifest.manifest import Manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.evaluation.evaluation import Evaluation, Prediction
from auricle.evaluation.targets import labelled
from auricle.evaluation.tasks import Task
from auricle.inference.config import EmbedSettings
from auricle.reports.drawing.html import script_safe, section, text
from auricle.reports.run_view import RunView

COMPONENTS = 50
FEW = 20  # below this many clips principal components alone are drawn
MOST = 1000  # clips that are drawn; t-SNE takes about ten seconds for these on one core


def chosen_rows(count: int, first: np.ndarray, seed: int = 0) -> np.ndarray:
    """Choose at most MOST of ``count`` rows, in order: those of ``first``, the rest by a keyed permutation."""
    from auricle.core.randomness import RandomKey

    if count <= MOST:
        return np.arange(count)
    rest = np.setdiff1d(RandomKey(seed).of("report/map").permutation(count), first, assume_unique=True)
    return np.sort(np.concatenate([first, rest])[:MOST])


def two_dimensions(features: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """Project standardised features (n, D) to the plane.

    Returns:
        Points (n, 2) in [0, 1], and the name of the method.
    """
    spread = features.std(0)
    values = (features - features.mean(0)) / np.where(spread > 1e-8, spread, 1.0)
    components = principal(values, COMPONENTS)
    if len(components) < FEW:
        return _unit(np.pad(components, ((0, 0), (0, 2)))[:, :2]), "first two principal components"
    return _unit(_tsne(components, seed)), f"t-SNE of {components.shape[1]} principal components"


def principal(values: np.ndarray, most: int) -> np.ndarray:
    """Project centred rows (n, D) to their first principal axes, (n, k); the largest entry fixes the signs."""
    u, s, _ = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    rank = min(most, int((s > 1e-9 * max(s[0], 1e-12)).sum()) or 1)
    sign = np.sign(u[np.abs(u).argmax(0), np.arange(u.shape[1])])
    return (u * s * sign)[:, :rank]


def _tsne(components: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(components) - 1) / 3)
    start = np.pad(components, ((0, 0), (0, 2)))[:, :2] / max(float(components[:, 0].std()), 1e-9) * 1e-4
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed, max_iter=750).fit_transform(components)


def _unit(points: np.ndarray) -> np.ndarray:
    """FilePart each axis to [0, 1], the longer direction first: neither axis has a unit."""
    turned = principal(points - points.mean(0), 2)
    turned = np.pad(turned, ((0, 0), (0, 2)))[:, :2]
    span = np.ptp(turned, axis=0)
    return np.where(span > 1e-9, (turned - turned.min(0)) / np.maximum(span, 1e-9), 0.5)


PLAYABLE = 60
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
class EmbeddingMap:
    """Clips in a plane: ids, points (n, 2) in [0, 1], and the method that placed them."""

    ids: tuple[str, ...]
    points: np.ndarray
    method: str


def task_manifest(evaluation: Evaluation) -> Manifest | None:
    """Read the clips that were evaluated; None where their table or folder is gone."""
    import warnings

    known = {f.name for f in fields(Task)} | Task.OLD_NAMES.keys()
    saved = {k: v for k, v in evaluation.settings.get("task", {}).items() if k in known}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return labelled(from_plain(Task, saved).manifest())
    except (AuricleError, OSError, TypeError):
        return None


def place_clips(run: RunView, evaluation: Evaluation, manifest: Manifest, first: list[str]) -> EmbeddingMap:
    """Place embeddings from the cache (made again if they are gone). Raises AuricleError where no clip can be read."""
    from auricle.hub.load import load

    task = evaluation.settings.get("task", {})
    encode: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in evaluation.settings.get("encode", {}).items()
    }
    settings = EmbedSettings(**encode, seconds=task.get("seconds") or 0.0)
    embedded = EmbeddingCache().embed(manifest, load(run.path), settings, what="map")
    if not embedded.ids:
        raise AuricleError("its clips cannot be read, and their embeddings are not in the cache")
    row = {id: i for i, id in enumerate(embedded.ids)}
    rows = chosen_rows(len(embedded.ids), np.array([row[id] for id in first if id in row], dtype=np.int64))
    return EmbeddingMap(tuple(embedded.ids[i] for i in rows), *two_dimensions(embedded.clip[rows]))


def clips_to_play(evaluation: Evaluation, most: int = PLAYABLE) -> list[str]:
    """Return ids of mistakes, the most confident first, then of the right answers with the lowest scores."""
    right = sorted((p for p in evaluation.predictions if p.right), key=lambda p: max(p.scores, default=0.0))
    return list(dict.fromkeys(p.id for p in [*evaluation.mistakes(most), *right]))[:most]


def map_section(run: RunView, evaluation: Evaluation | None, manifest: Manifest | None, sounds: dict[str, str]) -> str:
    """Return the section; ``sounds`` maps clip ids to keys of the page's sounds."""
    if evaluation is None:
        return ""
    if manifest is None:
        return section("map", TITLE, '<p class="none">No map: the evaluated clips are not where they were.</p>')
    try:
        placed = place_clips(run, evaluation, manifest, list(sounds))
    except AuricleError as error:
        return section("map", TITLE, f'<p class="none">No map: {text(error)}</p>')
    lead = (
        f"Every point is one of {len(placed.ids)} clips of {evaluation.task}; each class is named beside the middle of its clips. "
        "Clips that the encoder finds similar are neighbours; distances between far groups and the axes mean nothing "
        f"({placed.method}). Point at a clip to see it; the solid ones play on a click, and those of them with a ring are mistakes."
    )
    return section("map", TITLE, _legend(evaluation) + _plot(placed, evaluation, sounds), text(lead))


def _plot(placed: EmbeddingMap, evaluation: Evaluation, sounds: dict[str, str]) -> str:
    """The drawing, clips that can be played on top, and data for the script's read-out."""
    predictions = {p.id: p for p in evaluation.predictions}
    order = sorted(range(len(placed.ids)), key=lambda i: placed.ids[i] in sounds)
    points = "".join(_point(i, placed, predictions.get(placed.ids[i]), evaluation, sounds) for i in order)
    tips = json.dumps([_tip(id, predictions.get(id), sounds) for id in placed.ids], separators=(",", ":"))
    names = _class_names(placed, evaluation, predictions)
    return (
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{TITLE}">{points}{names}</svg>'
        f'<script type="application/json" id="map-data">{script_safe(tips)}</script>'
    )


MOST_NAMES = 40  # classes that are named on the map
LINE = 23  # height of a name on a phone, where it is largest; one letter takes about half of it


def _class_names(placed: EmbeddingMap, evaluation: Evaluation, predictions: dict[str, Prediction]) -> str:
    """The name of each class beside the middle of its clips, moved down where another name stands already."""
    if len(evaluation.classes) > MOST_NAMES:
        return ""
    parts, taken = [], list[tuple[float, float, float]]()
    for name in evaluation.classes:
        rows = [i for i, id in enumerate(placed.ids) if id in predictions and name in predictions[id].true]
        if not rows:
            continue
        x, y = _position(np.median(placed.points[rows], axis=0))
        half = 0.27 * LINE * len(name)
        x = min(max(x, half), WIDTH - half)
        while any(abs(x - other) < half + width and abs(y - level) < LINE for other, level, width in taken):
            y += LINE
        if y < HEIGHT:
            taken.append((x, y, half))
            parts.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{text(name)}</text>')
    return "".join(parts)


def _position(point: np.ndarray) -> tuple[float, float]:
    """A point of the unit square in the drawing."""
    return EDGE + point[0] * (WIDTH - 2 * EDGE), HEIGHT - EDGE - point[1] * (HEIGHT - 2 * EDGE)


def _point(
    i: int, placed: EmbeddingMap, prediction: Prediction | None, evaluation: Evaluation, sounds: dict[str, str]
) -> str:
    id, c = placed.ids[i], len(evaluation.classes)
    if prediction and prediction.true:
        c = evaluation.classes.index(prediction.true[0])
    x, y = _position(placed.points[i])
    kind = f"c{c % COLOURS}" + " playable" * (id in sounds) + " wrong" * bool(prediction and not prediction.right)
    focus = f' tabindex="0" role="button" aria-label="play {text(id)}"' if id in sounds else ""
    place = f'transform="translate({x:.0f} {y:.0f})" d="{shape(c)}"'
    return f'<path class="{kind}" data-i="{i}" data-class="{c}"{focus} {place}/>'


def shape(c: int) -> str:
    """Return the outline of a class: circle, square, triangle or diamond; classes that share a colour differ in it."""
    return OUTLINES[c // COLOURS % len(OUTLINES)]


def _tip(id: str, prediction: Prediction | None, sounds: dict[str, str]) -> dict[str, Any]:
    tip: dict[str, Any] = {"id": id}
    if prediction:
        tip |= {
            "true": ", ".join(prediction.true),
            "predicted": prediction.predicted,
            "p": round(max(prediction.scores), 3),
            "right": prediction.right,
        }
    return tip | ({"sound": sounds[id]} if id in sounds else {})


def _legend(evaluation: Evaluation) -> str:
    keys = [
        f'<li><button data-class="{c}" aria-pressed="false"><svg viewBox="-7 -7 14 14" aria-hidden="true">'
        f'<path class="c{c % COLOURS}" d="{shape(c)}"/></svg>{text(name)}</button></li>'
        for c, name in enumerate(evaluation.classes)
    ]
    return f'<ul class="legend classes">{"".join(keys)}</ul>'
