"""Rows of a data set with audio, read and embedded. No mteb here.

A row is decoded, mixed to mono and resampled by this program, whatever its length. Rows are never padded to each other: a batch
holds a list, and the encoder knows the length of every clip. So a row has one embedding, alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auricle.audio.arrays import is_waveform
from auricle.audio.sources import AudioSource, audio_sources, waveform_source
from auricle.core.errors import AuricleError
from auricle.inference.embedder import Embedder

FULL_SCALES = {"int8": 128.0, "int16": 32768.0, "int32": 2147483648.0}
SAMPLES = ("array", "raw")  # names of samples in a row's audio


@dataclass(frozen=True)
class RowPlace:
    """Where rows come from, for messages, and how the data set declares their audio.

    Attributes:
        name: Of the task and the part of it: "BeijingOpera, train".
        sample_rate: That the data set's column resamples all audio to; None: each file's own.
    """

    name: str
    sample_rate: int | None = None

    def row(self, number: int, value: Any = None) -> str:
        """Return the name of a row, with the name of its file where its audio has one."""
        path = value.get("path") if isinstance(value, Mapping) else None
        return f"{self.name}, row {number}" + (f" ({path})" if path else "")


def collate_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Put rows in a batch: a list of values for each column, nothing padded or stacked."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def embed_rows(embedder: Embedder, audio: Sequence[Any], place: RowPlace, first: int = 0) -> np.ndarray:
    """Embed the audio of consecutive rows.

    Args:
        embedder: The session of an encoder, whole clips.
        audio: Of each row: {"array", "sampling_rate"} (floats or whole numbers, (S,), (channels, S) or (S, channels)),
            {"bytes", "path"}, or a decoder of torchcodec.
        place: Where the rows come from.
        first: Number of the first row.

    Returns:
        (n, D) float32, row by row.

    Raises:
        AuricleError: A row cannot be read or embedded; the message names it.
    """
    sources = [row_source(value, place, first + i, embedder) for i, value in enumerate(audio)]
    embeddings = embedder(sources)
    if embeddings.failed:
        count = len(embeddings.failed)
        others = f"; {count - 1} more of these {len(sources)} rows fail" if count > 1 else ""
        reason = next(iter(embeddings.failed.values()))
        raise AuricleError(f"{reason}{others}. mteb scores every row: repair the data set, or leave the task out")
    return embeddings.clip


def row_source(value: Any, place: RowPlace, number: int, embedder: Embedder) -> AudioSource:
    """Return the audio of a row as a source that is named after the row. Raises AuricleError, which names it too."""
    name = place.row(number, value)
    if value is None:
        raise AuricleError(f"{name} holds no audio; mteb scores every row: repair the data set, or leave the task out")
    try:
        found = list(audio_sources(with_float_samples(value, name), name=name))
    except AuricleError as error:
        text = str(error)
        raise AuricleError(text if text.startswith(name) else f"{name}: {text}") from None
    if len(found) != 1:
        raise AuricleError(f"{name} holds {len(found)} recordings; expected one")
    source = replace(found[0], name=name, place=name)
    if place.sample_rate is None:
        return source
    wave = source.read(place.sample_rate, embedder.encoder.front.resampler)
    return waveform_source(wave, place.sample_rate, name)


def with_float_samples(value: Any, name: str) -> Any:
    """Return a row's audio with samples as floats in [-1, 1], where they are lists or whole numbers; else as it is."""
    if isinstance(value, Mapping):
        changed = {key: float_samples(value[key], name) for key in SAMPLES if value.get(key) is not None}
        return {**value, **changed} if changed else value
    return float_samples(value, name) if is_waveform(value) else value


def float_samples(samples: Any, name: str) -> Any:
    """Return samples as floats: whole numbers are divided by the full scale of their type.

    Raises:
        AuricleError: They are whole numbers of a type without a usual full scale.
    """
    values = np.asarray(samples) if isinstance(samples, (list, tuple)) else samples
    if not (isinstance(values, np.ndarray) and values.size and values.dtype.kind in "iub"):
        return values
    kind = values.dtype.newbyteorder("=").name
    if kind == "uint8":
        return (values.astype(np.float32) - 128.0) / 128.0
    if kind not in FULL_SCALES:
        raise AuricleError(
            f"{name}: samples of type {kind} have no known full scale; give floats in [-1, 1], or "
            f"{', '.join(FULL_SCALES)} or uint8"
        )
    return (values / FULL_SCALES[kind]).astype(np.float32)
