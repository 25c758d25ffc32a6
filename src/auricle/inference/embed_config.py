"""How clips become embeddings: every setting that changes a number. No PyTorch here: the command line reads this for
its help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option

LEVELS = ("clip", "frames")
CROPS = ("start", "random")
PADDINGS = ("exact", "published")
PRECISIONS = ("float32", "bfloat16")
POOLINGS = ("clip", "mean", "mean_std", "max", "mean_max")


@dataclass(frozen=True)
class EncodeSettings:
    """How a clip's sound becomes a vector. The defaults: the encoder's own clip embedding, float32."""

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
        "exact", "exact: each clip as if alone; published: as the original's batches", choices=PADDINGS
    )
    precision: str = option("float32", "numbers inside the network", choices=PRECISIONS)
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(
        16, "most clips encoded together; changes numbers only by rounding, but for padding published"
    )
    workers: int = option(2, "threads that decode audio; changes no number")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("batch_size", "workers"), 1)

    def block_indices(self, depth: int) -> tuple[int, ...]:
        """The blocks asked for as indices from 0; empty for the encoder's own output. ``depth`` of the encoder."""
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
        """What changes a number, layers aside, as JSON values: part of the embedding cache's key."""
        batch = {"batch_size": self.batch_size} if self.padding == "published" else {}
        return {"pooling": self.pooling, "padding": self.padding, "precision": self.precision, **batch}


@dataclass(frozen=True)
class EmbedSettings(EncodeSettings):
    """And which stretch of each clip is heard. The default: all of it."""

    seconds: float = option(
        0.0, "cut every clip to this many seconds, zero-padding shorter ones at the end; 0: as it is"
    )
    crop: str = option(
        "start", "which part is kept: the start, or a random window keyed by the clip's id", choices=CROPS
    )
    crop_seed: int = option(0, "seed of the random windows")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seconds < float("inf"):
            raise AuricleError(f"--seconds must be positive (or 0 for whole clips), got {self.seconds}")

    def numbers(self) -> dict[str, Any]:
        crop = {"crop": self.crop, "crop_seed": self.crop_seed if self.crop == "random" else 0} if self.seconds else {}
        return {**super().numbers(), "seconds": float(self.seconds), **crop}


def layer_texts(layers: Sequence[int] | int | str | None) -> tuple[str, ...]:
    """Block indices as the settings hold them: (5, -1) -> ("5", "-1"), 5 -> ("5",), "all" -> ("all",)."""
    if isinstance(layers, (int, str)):
        return (str(layers),)
    return tuple(str(i) for i in layers or ())
