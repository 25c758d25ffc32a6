"""Options of DyMN and its kernel temperature (specification efficientat 3). No PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.errors import AuricleError
from auricle.models.mn_config import FRONT_END, LAST, BlockShape, block_shapes, check_common, round8
from auricle.options import check_choices, option

DYNAMIC = ("all", "replace_se")


@dataclass(frozen=True)
class DyMNConfig:
    """A dynamic MobileNet tagger; the defaults are dymn10."""

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
        if min(self.context_ratio, self.conv_kernels, self.relu_lines) < 1 or not self.temperature > 0:
            raise AuricleError("needs context_ratio, conv_kernels, relu_lines >= 1 and temperature > 0")

    @property
    def shapes(self) -> list[BlockShape]:
        return block_shapes(self.width, self.strides)

    @property
    def last_width(self) -> int:
        """Width of the head's hidden layer."""
        return round8(LAST * self.width)

    def context(self, shape: BlockShape) -> int:
        """Context size H of a block (specification efficientat 3.1)."""
        low, high = round8(self.min_context * self.width), round8(self.max_context * self.width)
        return min(max(round8(shape.expanded // self.context_ratio), low), high)

    def is_dynamic(self, shape: BlockShape) -> bool:
        return self.dynamic_blocks == "all" or shape.squeeze


def kernel_temperature(
    epoch: float, highest: float = 30.0, lowest: float = 1.0, fall: float = 1.0, tail: float = 0.02
) -> float:
    """Temperature at the start of an epoch counted from 0: falls by ``fall`` an epoch, slower at the end.

    The AudioSet recipe starts from ``highest`` 30 and rests at 1 from epoch 29 on (specification efficientat 3.4).
    """
    return max(highest - fall * epoch, 1 + tail * (highest - 1) / fall - tail * epoch, lowest)
