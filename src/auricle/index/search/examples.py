"""Examples of a query as vectors: a recording or a part of it, cut as the index is, by the model that made the index."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.audio.decode import probe
from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.index.database import SoundIndex
from auricle.index.description import IndexInfo
from auricle.index.search.query import SoundExample

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.inference.embedder import Embedder
    from auricle.models.base import Encoder

HALF = 0.5 - 1e-6  # of the shorter span


def embed_example(example: SoundExample, info: IndexInfo, embedder: Embedder, notes: list[str]) -> np.ndarray:
    """Return the vectors (n, D) of the windows of a recording, or of all recordings of a folder, cut as those of the index.

    Args:
        example: the sound.
        info: of the index.
        embedder: of the model of the index.
        notes: what should be known about the example is added.

    Raises:
        AuricleError: nothing of the example can be read.
    """
    from auricle.data.stores.shards import CLIP
    from auricle.inference.coercion import as_manifest, cut_into_distinct_windows

    manifest = as_manifest(example.path)
    if example.start is not None:
        manifest = replace(manifest, clips=tuple(replace(c, start=example.start, end=example.end) for c in manifest))
        notes += _end_note(example)
    windows = cut_into_distinct_windows(manifest, info.window, info.hop)
    results = list(embedder.iterate(windows, names=(CLIP,)))
    failed = [result.failure for result in results if result.failure]
    if len(failed) == len(results):
        raise AuricleError(f"the example {example} cannot be read: {failed[0] if failed else 'no audio'}")
    notes += [f"left out of the examples: {failure}" for failure in failed]
    notes += _silence_note(example, windows, embedder.info.sample_rate)
    return np.stack([result.vectors[CLIP] for result in results if not result.failure])


def _end_note(example: SoundExample) -> list[str]:
    """A sentence about a part that is said to end behind its recording."""
    with suppress(AuricleError):  # who reads the recording says why it cannot be read
        seconds = probe(example.path).seconds
        if example.end is not None and (example.start or 0.0) < seconds < example.end:
            return [f"{example} ends at {seconds:.12g} s, with the recording"]
    return []


def _silence_note(example: SoundExample, windows: Manifest, rate: int) -> list[str]:
    """A sentence about windows that hold nothing but zeros: a model hears something in these too."""
    from auricle.data.stores.base import open_store

    store, silent = open_store(windows, "audio"), 0
    for clip in windows:
        with suppress(AuricleError):  # said already
            silent += not store.open(clip).read(clip.start or 0.0, clip.end, rate=clip.rate or rate).wave.any()
    if not silent:
        return []
    which = str(example) if silent == len(windows) else f"{number_of(silent, 'window')} of {example}"
    return [f"{which}: digital silence, so what is like it is what the model makes of silence"]


@dataclass(frozen=True)
class OverlappingSpans:
    """The spans of an index that have at least half in common with an example; of a folder, those of all its recordings."""

    example: SoundExample

    def sql(self) -> tuple[str, Sequence[Any]]:
        path, start, end = self.example.path, self.example.start, self.example.end
        if Path(path).is_dir():
            return "substr(path, 1, ?) = ?", (len(path) + 1, f"{path}/")
        if start is None or end is None:
            return "path = ?", (path,)
        common = "path = ? AND min(stop, ?) - max(start, ?) >= ? * min(stop - start, ?)"
        return common, (path, end, start, HALF, end - start)


def embedder_of(
    index: SoundIndex, model: str | Encoder = "", weights: str = "", *, device: str = "auto", workers: int = 2
) -> Embedder:
    """Load the model of an index for embedding sounds.

    Args:
        index: the index.
        model, weights: where the model is now, if not where the index says; or the encoder.
        device, workers: as of ``Embedder``.

    Raises:
        AuricleError: the model cannot be loaded, or it is not the one that the index was made with.
    """
    from auricle.inference.embedder import Embedder
    from auricle.models.base import Encoder

    info = index.info
    encoder = model if isinstance(model, Encoder) else _loaded(index, model, weights)
    fingerprint = encoder.fingerprint()
    if fingerprint != info.fingerprint:
        name = encoder.info.name if isinstance(model, Encoder) else model or weights or info.model
        raise AuricleError(
            f"{name} is not the model that made the index {index.folder}: its fingerprint is {fingerprint[:12]}, that of the "
            f"index {info.fingerprint[:12]}; name the one that did with --model, or make the index again"
        )
    return Embedder(encoder, precision=info.precision, device=device, workers=workers)


def _loaded(index: SoundIndex, model: str, weights: str) -> Encoder:
    from auricle.hub.load import load

    info = index.info
    name, file = (model or info.model, weights) if model or weights else (info.model, info.weights)
    try:
        return load(name, weights=file or None)
    except AuricleError as error:
        if model or weights:
            raise
        raise AuricleError(
            f"the model of the index, {info.model}, cannot be loaded ({error}); say where it is with --model or --weights, or "
            "search by '#SPAN' or 'label:NAME'"
        ) from None
