"""Sizes of the M2D networks. This module does not import PyTorch: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from auricle.core.errors import AuricleError
from auricle.core.options import check_ranges, option

FRONT_ENDS = {16000: "m2d-logmel/16k", 32000: "m2d-logmel/32k"}  # of the M2D family, by sample rate
BANDS = 80  # mel bands of these front ends
MOST_DEPTH, MOST_WIDTH, MOST_CLASSES = 1000, 1 << 16, 1_000_000  # limits of a network, far beyond any published one


def parse_size(text: str) -> tuple[int, int]:
    """'80x608' -> (80, 608): mel bins x frames, or patch height x width."""
    try:
        rows, columns = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise AuricleError(f"expected a size such as 80x608 (mel bins x frames), got '{text}'") from None
    if rows < 1 or columns < 1:
        raise AuricleError(f"both numbers of a size must be positive, got '{text}'")
    return rows, columns


def front_end_of(sample_rate: int, input_size: str) -> str:
    """Return the id of M2D's log-mel with as many bands as an input of this size (mel bins x frames) is high."""
    bands, _ = parse_size(input_size)
    return FRONT_ENDS[sample_rate] + ("" if bands == BANDS else f"-m{bands}")


@dataclass(frozen=True)
class ViTConfig:
    """An M2D-family encoder; the defaults are the published ViT-B ([m2d 2.6](docs/specification/m2d.md#s2-6))."""

    OLD_NAMES: ClassVar[dict[str, str]] = {"width": "embed_dim", "heads": "num_heads"}

    input_size: str = option("80x608", "mel bins x frames of one training crop (a frame is 10 ms)")
    patch_size: str = option(
        "16x16", "patch height x width, in mel bins x frames; bands above the last whole patch are not used"
    )
    embed_dim: int = option(768, "width of the encoder")
    depth: int = option(12, "number of encoder blocks")
    num_heads: int | None = option(
        None, "attention heads of the encoder; auto: one per 64 channels", special={"auto": None}, old={0: None}
    )
    sample_rate: int = option(16000, "sample rate of the log-mel front end, 16000 or 32000 hertz")

    def __post_init__(self) -> None:
        (bins, frames), (height, width) = parse_size(self.input_size), parse_size(self.patch_size)
        check_ranges(self, ("depth",), 1, MOST_DEPTH)
        check_ranges(self, ("embed_dim", "num_heads"), 1, MOST_WIDTH)
        if self.sample_rate not in FRONT_ENDS:
            raise AuricleError(f"M2D supports 16000 and 32000 Hz, not {self.sample_rate}")
        if bins < height:
            raise AuricleError(f"{bins} mel bins cannot be cut into patches {height} high")
        if frames < width:
            raise AuricleError(f"an input of {frames} frames is shorter than one patch ({width} frames)")
        if self.embed_dim % 4 or self.embed_dim % self.attention_heads:
            raise AuricleError(
                f"the width ({self.embed_dim}) must divide by 4 and by the number of heads ({self.attention_heads})"
            )

    @property
    def front_end(self) -> str:
        """Id of the front end: M2D's log-mel with as many bands as the input is high."""
        return front_end_of(self.sample_rate, self.input_size)

    @property
    def attention_heads(self) -> int:
        """``num_heads``, or what "auto" means: one head per 64 channels."""
        return self.num_heads or max(1, self.embed_dim // 64)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along frequency and time (F, T) of one training crop. Incomplete ones are left out, as in the original."""
        (bins, frames), (height, width) = parse_size(self.input_size), parse_size(self.patch_size)
        return bins // height, frames // width

    @property
    def unused_bands(self) -> int:
        """The highest mel bands, which fill no patch."""
        return parse_size(self.input_size)[0] % parse_size(self.patch_size)[0]


@dataclass(frozen=True)
class M2DHeadConfig:
    """The classifier of a fine-tuned M2D. It reads the mean of the patch tokens (D wide), or of the stacked frames (F * D)."""

    num_classes: int
    pools: Literal["tokens", "frames"] = "frames"

    def __post_init__(self) -> None:
        if not 1 <= self.num_classes <= MOST_CLASSES or self.pools not in ("tokens", "frames"):
            raise AuricleError(
                f"a head has 1 to {MOST_CLASSES:,} classes, and pools tokens or frames: not {self.num_classes} and "
                f"{self.pools}"
            )


@dataclass(frozen=True)
class PredictorConfig:
    """The decoder of pre-training; the defaults are M2D's ([m2d 2.6](docs/specification/m2d.md#s2-6))."""

    OLD_NAMES: ClassVar[dict[str, str]] = {"decoder_width": "decoder_embed_dim", "decoder_heads": "decoder_num_heads"}

    decoder_embed_dim: int = option(512, "width of the predictor")
    decoder_depth: int = option(8, "number of predictor blocks")
    decoder_num_heads: int = option(16, "attention heads of the predictor")

    def __post_init__(self) -> None:
        check_ranges(self, ("decoder_depth",), 1, MOST_DEPTH)
        check_ranges(self, ("decoder_embed_dim", "decoder_num_heads"), 1, MOST_WIDTH)
        if self.decoder_embed_dim % 4 or self.decoder_embed_dim % self.decoder_num_heads:
            raise AuricleError(
                f"the predictor's width ({self.decoder_embed_dim}) must divide by 4 and by its heads ({self.decoder_num_heads})"
            )
