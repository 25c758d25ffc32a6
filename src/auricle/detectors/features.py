"""What frozen heads learn from: the vectors of every clip and of every block of an encoder, with labels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from auricle.core.console import progress_bar
from auricle.core.errors import AuricleError, content_fault, first_line
from auricle.core.io import writing
from auricle.data.datasets.base import LabelVectors
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.shards import CLIP
from auricle.embeddings.cache import EmbeddingCache
from auricle.inference.config import LONG_WINDOW, WHOLE_SECONDS, EmbedSettings
from auricle.inference.embedder import Embedder
from auricle.methods.supervised.clips import group_of, windows_of
from auricle.metrics.classification import truth_of
from auricle.models.base import Encoder

MOST_FRAME_BYTES = 1 << 30  # of frames that are held in memory


class NoRecordings(AuricleError):
    """Frozen features are read from recordings, and the clips are stored spectrograms alone."""


@dataclass(frozen=True)
class LabelledFeatures:
    """Frozen features of clips with their labels; rows are clips.

    Attributes:
        ids: of the clips; of windows of long recordings, the id of the recording with the number of the window.
        groups: of the clips: clips of one group are never divided.
        seconds: (n,) lengths of the clips.
        clip: (n, D) float32, the clip embedding of the encoder without a head.
        layers: per block (n, D') float32, the mean over time of its frames.
        targets: (n, C) float32 of 0 and 1.
        known: (n, C) float32, 1 where a class was annotated.
        frames: per clip (T, D) float16, the frames of the encoder; None where they are not held.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    seconds: np.ndarray
    clip: np.ndarray
    layers: tuple[np.ndarray, ...]
    targets: np.ndarray
    known: np.ndarray
    frames: tuple[np.ndarray, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> LabelledFeatures:
        """Return some rows."""
        return LabelledFeatures(
            tuple(self.ids[row] for row in rows),
            tuple(self.groups[row] for row in rows),
            self.seconds[rows],
            self.clip[rows],
            tuple(layer[rows] for layer in self.layers),
            self.targets[rows],
            self.known[rows],
            None if self.frames is None else tuple(self.frames[row] for row in rows),
        )

    def truth(self) -> np.ndarray:
        """Return the targets as metrics take them: NaN where a class was not annotated."""
        return truth_of(self.targets, self.known)


def read_features(
    manifest: Manifest,
    encoder: Encoder,
    classes: Sequence[str],
    *,
    seconds: float | None = None,
    cache: EmbeddingCache | None = None,
    settings: EmbedSettings | None = None,
    frames: bool = False,
    most_bytes: int = MOST_FRAME_BYTES,
    quiet: bool = True,
) -> tuple[LabelledFeatures, dict[str, str]]:
    """Read the frozen features of labelled clips from the embedding cache, which computes what it lacks in one pass.

    A clip of up to two minutes is embedded whole, as ``auricle tag`` scores it. Longer recordings, and with ``seconds`` all
    longer clips, are cut into consecutive windows that have the labels of their recording and stay together in one group.

    Args:
        manifest: the clips.
        encoder: the encoder; a head that it has is not looked at.
        classes: the classes in the order of the logits, as the labels spell them.
        seconds: length of a window.
        cache: of the embeddings; None: the one in the cache folder.
        settings: device, precision and batch size of the embeddings.
        frames: hold the frames too, if they fit: the clips pass the encoder once more for them.
        most_bytes: that the frames may take.
        quiet: no progress bar.

    Returns:
        The features, and {id: reason} of clips that could not be read and are left out.

    Raises:
        AuricleError: clips without a recording, and where no clip can be read.
    """
    if any(clip.path is None for clip in manifest):
        raise NoRecordings(
            "frozen heads learn from recordings, and some of these clips are stored spectrograms alone; name the folder of the "
            "recordings, or train the whole network: --how full"
        )
    whole = seconds or (WHOLE_SECONDS if (manifest.table.seconds() > WHOLE_SECONDS).any() else None)
    clips = manifest if whole is None else windows_of(manifest, seconds or LONG_WINDOW)
    bare, cache = encoder.without_head().eval(), cache or EmbeddingCache()
    names = ("clip", *(f"layer{block}" for block in range(bare.info.depth)))
    embedded = cache.embed(clips, bare, settings or EmbedSettings(), vectors=names, what="embed", quiet=quiet)
    if not embedded.ids:
        raise AuricleError(
            f"none of the {len(clips)} clips could be read; the first: {next(iter(embedded.failed.values()))}"
        )
    columns = np.split(embedded.clip, np.cumsum(embedded.widths)[:-1], axis=1)
    labels = LabelVectors(classes, clips)
    rows = [clips[id] for id in embedded.ids]
    targets, known = (np.stack(values).astype(np.float32) for values in zip(*map(labels, rows)))
    held, chosen = None, clips.select(ids=embedded.ids)
    if frames and frame_bytes(chosen, bare) <= most_bytes:
        held = read_frames(chosen, bare, settings or EmbedSettings(), quiet=quiet)
    features = LabelledFeatures(
        embedded.ids,
        tuple(map(group_of, rows)),
        np.array([clip.seconds or np.nan for clip in rows]),
        columns[0],
        tuple(columns[1:]),
        targets,
        known,
        held,
    )
    return features, embedded.failed


def frame_bytes(clips: Manifest, encoder: Encoder) -> float:
    """Return about how many bytes the frames of clips take in float16."""
    info = encoder.info
    return float(np.nansum(clips.table.seconds())) / info.hop_seconds * info.frame_dim * np.dtype(np.float16).itemsize


def read_frames(
    clips: Manifest, encoder: Encoder, settings: EmbedSettings, *, quiet: bool = True
) -> tuple[np.ndarray, ...] | None:
    """Return the frames of every clip, each (T, D) float16; None where they take more than 1 GB, or a clip fails."""
    found, size = dict[str, np.ndarray](), 0
    embedder = Embedder(encoder, settings=settings, level="frames")
    with progress_bar(total=len(clips), what="frames", quiet=quiet) as bar:
        for result in embedder.iterate(clips, names=(CLIP,)):
            if result.failure or result.frames is None:
                return None
            found[result.id] = result.frames.astype(np.float16)
            size += found[result.id].nbytes
            if size > MOST_FRAME_BYTES:
                return None
            bar.finish_step()
    return tuple(found[id] for id in clips.ids)


def save_features(features: LabelledFeatures, path: Path, classes: Sequence[str]) -> None:
    """Write features with ids, groups and labels, so that a detector can grow without the old recordings.

    The vectors are kept in float16: (n, D) ``clip`` and (n, D') ``layer0`` and so on.
    """
    arrays = {"clip": features.clip, **{f"layer{i}": layer for i, layer in enumerate(features.layers)}}
    vectors: dict[str, Any] = {name: array.astype(np.float16) for name, array in arrays.items()}
    numbers: dict[str, Any] = {
        "seconds": features.seconds.astype(np.float32),
        "targets": features.targets.astype(np.uint8),
    }
    names: dict[str, Any] = {
        "ids": np.array(features.ids),
        "groups": np.array(features.groups),
        "classes": np.array(classes),
    }
    with writing(path):
        np.savez(path, **names, **numbers, known=features.known.astype(np.uint8), **vectors)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file that ``numpy.savez`` wrote.

    Raises:
        ValueError: for a file that is damaged, with what the reader says.
        OSError: for a file that is not there.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        AttributeError,
    ) as error:  # AttributeError: one array
        raise ValueError(first_line(error)) from None


def check_rows(arrays: dict[str, Any], texts: Sequence[str], numbers: dict[str, int]) -> None:
    """Check that arrays have one row for each clip, and the kinds and values that they should have.

    Args:
        arrays: by name, as ``load_arrays`` gives them.
        texts: names of arrays (n,) of text.
        numbers: names of arrays of finite numbers, and their axes; "targets" and "known" hold 0 and 1 alone, and "seconds" may
            be NaN.

    Raises:
        KeyError: an array is missing.
        ValueError: names the array that is of another kind.
    """
    rows = arrays["ids"].shape[0] if arrays["ids"].ndim else -1
    for name in (*texts, *numbers):
        array = arrays[name]
        axes = numbers.get(name, 1)
        if array.ndim != axes or array.shape[0] != rows or array.dtype.kind not in ("biuf" if name in numbers else "U"):
            kind = "numbers" if name in numbers else "texts"
            raise ValueError(f"'{name}' holds no {kind} of {rows} clips")
        if name in ("targets", "known"):
            if not np.isin(array, (0, 1)).all():
                raise ValueError(f"'{name}' holds other numbers than 0 and 1")
        elif name in numbers and not (np.isfinite(array) | (np.isnan(array) & (name == "seconds"))).all():
            raise ValueError(f"'{name}' holds NaN or infinity")
    if arrays["targets"].shape != arrays["known"].shape:
        raise ValueError("'targets' and 'known' are about other classes")


def load_features(path: Path) -> tuple[LabelledFeatures, tuple[str, ...]]:
    """Read what ``save_features`` wrote: the features and the classes.

    Raises:
        AuricleError: for a file that cannot be read.
    """
    try:
        arrays = load_arrays(path)
        depth = sum(name.startswith("layer") for name in arrays)
        layers = {f"layer{i}": 2 for i in range(depth)}
        check_rows(arrays, ("ids", "groups"), {"seconds": 1, "clip": 2, **layers, "targets": 2, "known": 2})
        if len(set(map(str, arrays["ids"]))) < len(arrays["ids"]):
            raise ValueError("'ids' names a clip twice")
        classes = arrays["classes"]
        if classes.ndim != 1 or classes.dtype.kind != "U" or len(classes) != arrays["targets"].shape[1]:
            raise ValueError("'classes' does not name the classes of 'targets'")
        features = LabelledFeatures(
            tuple(map(str, arrays["ids"])),
            tuple(map(str, arrays["groups"])),
            arrays["seconds"].astype(np.float64),
            arrays["clip"].astype(np.float32),
            tuple(arrays[f"layer{i}"].astype(np.float32) for i in range(depth)),
            arrays["targets"].astype(np.float32),
            arrays["known"].astype(np.float32),
        )
        return features, tuple(map(str, classes))
    except (OSError, KeyError, ValueError) as error:
        raise AuricleError(
            f"{path} cannot be read as the features of a detector ({content_fault(error)}); train it again"
        ) from None
