"""Options of MN and DyMN, and the table of blocks that both share.

Source: [efficientat 2.1](docs/specification/efficientat.md#s2-1) to [2.3](docs/specification/efficientat.md#s2-3) and
[3](docs/specification/efficientat.md#s3).

This module does not import PyTorch: the command line reads it for its help.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option

FRONT_END = "efficientat-mel/sr32000-m128-w800-h320-n1024-fmin0-fmax15000"
HEADS = ("mlp", "fully_convolutional", "multihead_attention_pooling")
AGGREGATIONS = ("max", "avg", "add", "min")
MOST_CLASSES, MOST_WIDTH, MOST_SIZE, MOST_PARTS = (
    1_000_000,
    64,
    1 << 20,
    256,
)  # limits, far beyond any published network
STEM, LAST, BLOCKS = 16, 1280, 15  # stem channels and width of the last linear layer before scaling; number of blocks

# kernel, expanded, out, squeeze-and-excitation, activation, stride (None: the next of `strides`); blocks 1 to 15
TABLE = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", None),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", None),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", None),
    (3, 200, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 480, 112, True, "hardswish", 1),
    (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", None),
    (5, 960, 160, True, "hardswish", 1),
    (5, 960, 160, True, "hardswish", 1),
)


def round8(value: float) -> int:
    """The nearest multiple of 8, at least 8, never more than a tenth below ``value``.

    Source: [efficientat 2.1](docs/specification/efficientat.md#s2-1).
    """
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class BlockShape:
    """One inverted residual block, all counts rounded. ``stride`` is the table's; dilated blocks run at stride 1."""

    inputs: int
    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    activation: str
    stride: int
    dilation: int = 1

    @property
    def padding(self) -> int:
        return (self.kernel - 1) // 2 * self.dilation

    @property
    def run_stride(self) -> int:
        return 1 if self.dilation > 1 else self.stride

    @property
    def residual(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs

    def size(self, n: int) -> int:
        """Length of an axis after the depthwise convolution, by the table's stride."""
        return (n + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1


FRAME_STRIDES = ((2, 2, 2, 2), (2, 2, 2, 1), (2, 2, 1, 1), (2, 1, 1, 1), (1, 1, 1, 1))  # from coarse to fine frames


def stem_size(n: int) -> int:
    """Length of an axis after the stem (kernel 3, stride 2, padding 1)."""
    return (n - 1) // 2 + 1


def block_shapes(
    width: float, strides: Sequence[int] = (2, 2, 2, 2), *, reduced_tail: bool = False, dilated: bool = False
) -> list[BlockShape]:
    """The 15 blocks of a network of this width multiplier."""
    free, inputs, shapes = iter(strides), round8(STEM * width), []
    for number, (kernel, expanded, outputs, squeeze, activation, stride) in enumerate(TABLE, start=1):
        shape = BlockShape(
            inputs=inputs,
            kernel=kernel,
            expanded=round8((expanded // 2 if reduced_tail and number > 13 else expanded) * width),
            outputs=round8((outputs // 2 if reduced_tail and number > 12 else outputs) * width),
            squeeze=squeeze,
            activation=activation,
            stride=next(free) if stride is None else stride,
            dilation=2 if dilated and number > 12 else 1,
        )
        shapes.append(shape)
        inputs = shape.outputs
    return shapes


def total_stride(shapes: Sequence[BlockShape]) -> int:
    """Return the number of mel frames between two columns of the last map of a network with these blocks."""
    return 2 * math.prod(shape.run_stride for shape in shapes)


@dataclass(frozen=True)
class MNConfig:
    """A MobileNetV3 tagger; the defaults are mn10 ([efficientat 2](docs/specification/efficientat.md#s2))."""

    OLD_NAMES: ClassVar[dict[str, str]] = {"heads": "num_heads"}

    num_classes: int = option(527, "number of classes (outputs)")
    width: float = option(1.0, "width multiplier: mn04 is 0.4, mn10 is 1")
    head: str = option("mlp", "what turns the last feature map into class scores", choices=HEADS)
    num_heads: int = option(4, "attention heads of multihead_attention_pooling")
    strides: tuple[int, ...] = option((2, 2, 2, 2), "strides of blocks 2, 4, 7 and 13, each 1 or 2")
    dilated: bool = option(False, "blocks 13 to 15 dilated by 2 in place of striding")
    reduced_tail: bool = option(False, "halve the channels of blocks 13 to 15 and the last linear layer")
    se_dims: str = option("c", "axes of squeeze-and-excitation, letters of c, f, t; 'none' for none")
    se_agg: str = option("max", "how several axes are joined", choices=AGGREGATIONS)
    se_ratio: int = option(4, "squeeze ratio")
    frames: int = option(
        1000, "mel frames of every input; only squeeze-and-excitation along time ties the network to it"
    )
    dropout: float = option(0.2, "dropout probability of the mlp head")
    front_end: str = option(FRONT_END, "front end id; its bands are the network's mel bins")

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))  # a list where it was read from JSON
        check_common(self.num_classes, self.width, self.strides, self.dropout)
        check_choices(self)
        letters = self.squeeze_letters
        if set(letters) - set("cft") or len(set(letters)) != len(letters):
            raise AuricleError(f"se_dims is 'none' or different letters of c, f and t, not '{self.se_dims}'")
        if self.dilated and set(letters) & set("ft"):
            raise AuricleError("a dilated network has squeeze-and-excitation along c or none: f and t do not fit it")
        check_ranges(self, ("num_heads", "se_ratio", "frames"), 1, MOST_SIZE)

    @property
    def squeeze_letters(self) -> str:
        return "" if self.se_dims == "none" else self.se_dims

    @property
    def shapes(self) -> list[BlockShape]:
        return block_shapes(self.width, self.strides, reduced_tail=self.reduced_tail, dilated=self.dilated)

    @property
    def last_width(self) -> int:
        """Width of the mlp head's hidden layer."""
        return round8(LAST // (2 if self.reduced_tail else 1) * self.width)


def check_common(num_classes: int, width: float, strides: Sequence[int], dropout: float) -> None:
    """What MN and DyMN ask of their options."""
    if not (1 <= num_classes <= MOST_CLASSES and 0 < width <= MOST_WIDTH and 0 <= dropout < 1):
        raise AuricleError(
            f"needs 1 to {MOST_CLASSES:,} classes, a width above 0 and up to {MOST_WIDTH}, and 0 <= dropout < 1; not "
            f"{num_classes}, {width} and {dropout}"
        )
    if len(strides) != 4 or any(stride not in (1, 2) for stride in strides):
        raise AuricleError(f"strides are four numbers, each 1 or 2, not {tuple(strides)}")


DYNAMIC = ("all", "replace_se")


@dataclass(frozen=True)
class DyMNConfig:
    """A dynamic MobileNet tagger; the defaults are dymn10 ([efficientat 3](docs/specification/efficientat.md#s3))."""

    num_classes: int = option(527, "number of classes (outputs)")
    width: float = option(1.0, "width multiplier: dymn04 is 0.4, dymn10 is 1, dymn20 is 2")
    strides: tuple[int, ...] = option((2, 2, 2, 2), "strides of blocks 2, 4, 7 and 13, each 1 or 2")
    dynamic_blocks: str = option("all", "which blocks are dynamic: all, or those MN squeezes", choices=DYNAMIC)
    context_ratio: int = option(4, "expanded channels over context size")
    min_context: int = option(32, "smallest context size before scaling")
    max_context: int = option(128, "largest context size before scaling")
    conv_kernels: int = option(4, "kernels mixed by a dynamic convolution")
    relu_lines: int = option(2, "linear pieces of a dynamic ReLU")
    dynamic_relu: bool = option(True, "dynamic ReLU after the depthwise convolution; else the table's activation")
    dynamic_conv: bool = option(True, "dynamic convolutions; else plain ones")
    coordinate_attention: bool = option(True, "attention along frequency and time")
    temperature: float = option(1.0, "softmax temperature of the kernel mixture; it acts in evaluation as well")
    dropout: float = option(0.2, "dropout probability of the head")
    front_end: str = option(FRONT_END, "front end id; any number of bands")

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))  # a list where it was read from JSON
        check_common(self.num_classes, self.width, self.strides, self.dropout)
        check_choices(self)
        check_ranges(self, ("context_ratio", "min_context", "max_context"), 1, MOST_SIZE)
        check_ranges(self, ("conv_kernels", "relu_lines"), 1, MOST_PARTS)
        if not 0 < self.temperature < math.inf:
            raise AuricleError(f"the temperature must be a number above 0, not {self.temperature}")

    @property
    def shapes(self) -> list[BlockShape]:
        return block_shapes(self.width, self.strides)

    @property
    def last_width(self) -> int:
        """Width of the head's hidden layer."""
        return round8(LAST * self.width)

    def context(self, shape: BlockShape) -> int:
        """Context size H of a block ([efficientat 3.1](docs/specification/efficientat.md#s3-1))."""
        low, high = round8(self.min_context * self.width), round8(self.max_context * self.width)
        return min(max(round8(shape.expanded // self.context_ratio), low), high)

    def is_dynamic(self, shape: BlockShape) -> bool:
        return self.dynamic_blocks == "all" or shape.squeeze


def kernel_temperature(
    epoch: float, highest: float = 30.0, lowest: float = 1.0, fall: float = 1.0, tail: float = 0.02
) -> float:
    """Temperature at the start of an epoch counted from 0: falls by ``fall`` an epoch, slower at the end.

    The AudioSet recipe starts from ``highest`` 30 and rests at 1 from epoch 29 on
    ([efficientat 3.4](docs/specification/efficientat.md#s3-4)).
    """
    return max(highest - fall * epoch, 1 + tail * (highest - 1) / fall - tail * epoch, lowest)
