"""The map: every tested clip as a point, near where the encoder finds it; the most telling ones can be heard."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.evaluation.evaluation import Evaluation, Prediction
from auricle.evaluation.labels import labelled
from auricle.evaluation.task import Task
from auricle.inference.embed_config import EmbedSettings
from auricle.reports.html import script_safe, section, text
from auricle.reports.view import RunView

# Embeddings in two dimensions: principal components, then t-SNE where there are clips enough.

COMPONENTS = 50
FEW = 20  # below this many clips principal components alone are drawn
MOST = 1000  # clips that are drawn; t-SNE takes about ten seconds for these on one core


def chosen_rows(count: int, first: np.ndarray, seed: int = 0) -> np.ndarray:
    """At most MOST of ``count`` rows, in order; ``first`` always among them, the rest by a keyed permutation."""
    from auricle.core.randomness import RandomKey

    if count <= MOST:
        return np.arange(count)
    rest = np.setdiff1d(RandomKey(seed).of("report/map").permutation(count), first, assume_unique=True)
    return np.sort(np.concatenate([first, rest])[:MOST])


def two_dimensions(features: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """(n, D) -> (n, 2) in [0, 1], and the method in words. Features are standardised first."""
    spread = features.std(0)
    values = (features - features.mean(0)) / np.where(spread > 1e-8, spread, 1.0)
    components = principal(values, COMPONENTS)
    if len(components) < FEW:
        return _unit(np.pad(components, ((0, 0), (0, 2)))[:, :2]), "first two principal components"
    return _unit(_tsne(components, seed)), f"t-SNE of {components.shape[1]} principal components"


def principal(values: np.ndarray, most: int) -> np.ndarray:
    """(n, D) centred rows -> (n, k) coordinates on their first principal axes; signs fixed by the largest entry."""
    u, s, _ = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    kept = min(most, int((s > 1e-9 * max(s[0], 1e-12)).sum()) or 1)
    sign = np.sign(u[np.abs(u).argmax(0), np.arange(u.shape[1])])
    return (u * s * sign)[:, :kept]


def _tsne(components: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(components) - 1) / 3)
    start = np.pad(components, ((0, 0), (0, 2)))[:, :2] / max(float(components[:, 0].std()), 1e-9) * 1e-4
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed, max_iter=750).fit_transform(components)


def _unit(points: np.ndarray) -> np.ndarray:
    """Each axis stretched to [0, 1], the longer direction first: neither axis has a unit."""
    turned = principal(points - points.mean(0), 2)
    turned = np.pad(turned, ((0, 0), (0, 2)))[:, :2]
    span = np.ptp(turned, axis=0)
    return np.where(span > 1e-9, (turned - turned.min(0)) / np.maximum(span, 1e-9), 0.5)


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
class EmbeddingMap:
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


def mapped(run: RunView, evaluation: Evaluation, manifest: Manifest, telling: list[str]) -> EmbeddingMap:
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
    return EmbeddingMap(tuple(found.ids[i] for i in rows), *two_dimensions(found.clip[rows]))


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


def _plot(found: EmbeddingMap, evaluation: Evaluation, heard: dict[str, str]) -> str:
    """The drawing, clips that can be heard on top, and what the pointer reads out."""
    predictions = {p.id: p for p in evaluation.predictions}
    order = sorted(range(len(found.ids)), key=lambda i: found.ids[i] in heard)
    points = "".join(_point(i, found, predictions.get(found.ids[i]), evaluation, heard) for i in order)
    tips = json.dumps([_tip(id, predictions.get(id), heard) for id in found.ids], separators=(",", ":"))
    return (
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{TITLE}">{points}</svg>'
        f'<script type="application/json" id="map-data">{script_safe(tips)}</script>'
    )


def _point(
    i: int, found: EmbeddingMap, prediction: Prediction | None, evaluation: Evaluation, heard: dict[str, str]
) -> str:
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
