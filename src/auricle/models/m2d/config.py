"""Sizes of the transformer families. No PyTorch here: the command line reads these for its help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auricle.core.errors import AuricleError
from auricle.core.options import check_ranges, option

FRONT_ENDS = {16000: "m2d-logmel/16k", 32000: "m2d-logmel/32k"}  # of the M2D family, by sample rate


def parse_size(text: str) -> tuple[int, int]:
    """'80x608' -> (80, 608): mel bins x frames, or patch height x width."""
    try:
        rows, columns = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise AuricleError(f"expected a size such as 80x608 (mel bins x frames), got '{text}'") from None
    if rows < 1 or columns < 1:
        raise AuricleError(f"both numbers of a size must be positive, got '{text}'")
    return rows, columns


@dataclass(frozen=True)
class ViTConfig:
    """An M2D-family encoder; the defaults are the published ViT-B (specification m2d 2.6)."""

    input_size: str = option("80x608", "mel bins x frames of one training crop (a frame is 10 ms)")
    patch_size: str = option("16x16", "patch height x width, in mel bins x frames")
    width: int = option(768, "width of the encoder")
    depth: int = option(12, "number of encoder blocks")
    heads: int = option(0, "attention heads of the encoder; 0: one per 64 channels")
    sample_rate: int = option(16000, "sample rate of the log-mel front end, 16000 or 32000 hertz")

    def __post_init__(self) -> None:
        (bins, frames), (height, width) = parse_size(self.input_size), parse_size(self.patch_size)
        check_ranges(self, ("width", "depth"), 1)
        check_ranges(self, ("heads",), 0)
        if self.sample_rate not in FRONT_ENDS:
            raise AuricleError(f"M2D knows 16000 and 32000 Hz, not {self.sample_rate}")
        if bins % height:
            raise AuricleError(f"{bins} mel bins cannot be cut into patches {height} high")
        if frames < width:
            raise AuricleError(f"an input of {frames} frames is shorter than one patch ({width} frames)")
        if self.width % 4 or self.width % self.num_heads:
            raise AuricleError(
                f"the width ({self.width}) must divide by 4 and by the number of heads ({self.num_heads})"
            )

    @property
    def num_heads(self) -> int:
        return self.heads or max(1, self.width // 64)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along frequency and time (F, T) of one training crop."""
        (bins, frames), (height, width) = parse_size(self.input_size), parse_size(self.patch_size)
        return bins // height, frames // width


@dataclass(frozen=True)
class M2DHeadConfig:
    """The classifier of a fine-tuned M2D. It reads the mean of the patch tokens (D wide), or of the stacked frames (F * D)."""

    num_classes: int
    pools: Literal["tokens", "frames"] = "frames"

    def __post_init__(self) -> None:
        if self.num_classes < 1 or self.pools not in ("tokens", "frames"):
            raise AuricleError(
                f"a head has classes, and pools tokens or frames: not {self.num_classes} and {self.pools}"
            )


@dataclass(frozen=True)
class PredictorConfig:
    """The decoder of pre-training; the defaults are M2D's (specification m2d 2.6)."""

    decoder_width: int = option(512, "width of the predictor")
    decoder_depth: int = option(8, "number of predictor blocks")
    decoder_heads: int = option(16, "attention heads of the predictor")

    def __post_init__(self) -> None:
        check_ranges(self, ("decoder_width", "decoder_depth", "decoder_heads"), 1)
        if self.decoder_width % 4 or self.decoder_width % self.decoder_heads:
            raise AuricleError(
                f"the predictor's width ({self.decoder_width}) must divide by 4 and by its heads ({self.decoder_heads})"
            )
