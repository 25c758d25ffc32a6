"""Settings of embedding: every value that changes a number. This module does not import torch: ``--help`` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option
from auricle.inference.tag_config import OLD_PRECISIONS, PRECISION_NAMES, PRECISIONS

LEVELS = ("clip", "frames")
CROPS = ("start", "random")
PADDINGS = ("exact", "published")
POOLINGS = ("clip", "mean", "mean_std", "max", "mean_max")
STORED_PRECISIONS = {"bf16": "bfloat16"}  # as the first edition wrote it into cache keys and index files


class EmbedOptions(TypedDict, total=False):
    """Keyword arguments of ``Embedder`` and ``auricle.embed``: the fields of EmbedSettings."""

    layers: Sequence[int | str] | int | str | None
    pooling: str
    padding: str
    precision: str
    device: str
    batch_size: int
    workers: int
    seconds: float | None
    crop: str
    crop_seed: int


@dataclass(frozen=True)
class EncodeSettings:
    """How the audio of a clip becomes a vector. The defaults: the encoder's own clip embedding, float32."""

    layers: tuple[str, ...] = option(
        (),
        "pool these blocks and join them: 0-based, negatives count from the last, or 'all'; none: the encoder's output",
    )
    pooling: str = option(
        "clip",
        "over time: clip (the encoder's own), mean, mean_std (n-1), max, mean_max (mean + max)",
        choices=POOLINGS,
    )
    padding: str = option(
        "exact", "exact: each clip as if alone; published: as the original's batches", choices=PADDINGS, advanced=True
    )
    precision: str = option(
        "float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS, old=OLD_PRECISIONS
    )
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(
        16,
        "most clips encoded together; changes numbers only by rounding, except with padding published",
        advanced=True,
    )
    workers: int = option(2, "threads that decode audio; changes no number", advanced=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", PRECISION_NAMES.get(self.precision, self.precision))
        check_choices(self)
        check_ranges(self, ("batch_size", "workers"), 1)

    def block_indices(self, depth: int) -> tuple[int, ...]:
        """Return the chosen blocks as indices from 0; empty for the encoder's own output.

        Args:
            depth: number of blocks of the encoder.
        """
        if tuple(self.layers) == ("all",):
            return tuple(range(depth))
        try:
            indices = [int(layer) for layer in self.layers]
        except ValueError:
            raise AuricleError(
                f"--layers takes block indices or 'all', got {' '.join(map(str, self.layers))}"
            ) from None
        if any(not -depth <= i < depth for i in indices):
            raise AuricleError(
                f"--layers {' '.join(map(str, indices))}: this encoder has {depth} blocks, 0 to {depth - 1}"
            )
        return tuple(dict.fromkeys(i % depth for i in indices))

    def numbers(self) -> dict[str, Any]:
        """Return what changes a number, layers aside, as JSON values: part of the key of the embedding cache."""
        batch = {"batch_size": self.batch_size} if self.padding == "published" else {}
        precision = STORED_PRECISIONS.get(self.precision, self.precision)
        return {"pooling": self.pooling, "padding": self.padding, "precision": precision, **batch}


@dataclass(frozen=True)
class EmbedSettings(EncodeSettings):
    """EncodeSettings, and which part of each clip is read. The default: all of it."""

    seconds: float | None = option(
        None,
        "cut every clip to this many seconds, zero-padding shorter ones at the end, or none: the whole clip",
        words={"none": None},
        old={0.0: None},
    )
    crop: str = option(
        "start", "which part is read: the start, or a random part keyed by the clip's id", choices=CROPS, advanced=True
    )
    crop_seed: int = option(0, "seed of the random parts", advanced=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seconds", self.seconds or None)  # 0 was "none" in the first edition
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise AuricleError(f"--seconds must be positive (or none for whole clips), got {self.seconds}")

    def numbers(self) -> dict[str, Any]:
        seconds = self.seconds or 0.0  # as the first edition stored "none"
        crop = {"crop": self.crop, "crop_seed": self.crop_seed if self.crop == "random" else 0} if seconds else {}
        return {**super().numbers(), "seconds": float(seconds), **crop}


def layer_texts(layers: Sequence[int | str] | int | str | None) -> tuple[str, ...]:
    """Return block indices as the settings hold them: (5, -1) -> ("5", "-1"), 5 -> ("5",), "all" -> ("all",)."""
    if isinstance(layers, (int, str)):
        return (str(layers),)
    return tuple(str(i) for i in layers or ())
