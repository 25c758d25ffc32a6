"""MN, the MobileNetV3 audio tagger of EfficientAT (specification efficientat 2).

``MN(MNConfig(width=0.4))`` is mn04 with initial weights. Names of modules are the published state dict's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from auricle.errors import AuricleError
from auricle.models.contract import Spec
from auricle.models.efficientat import Classes, EfficientAT, LabelType
from auricle.models.heads import build_head
from auricle.models.init import keyed
from auricle.models.inverted import InvertedResidual, conv_unit, mobilenet_rule
from auricle.models.mn_config import STEM, BlockShape, MNConfig, round8, stem_size
from auricle.models.squeeze import ConcurrentSqueezeExcite
from auricle.signal.front_ends import front_end


class MN(EfficientAT):
    """Stem, 15 inverted residual blocks, last unit, head. ``classes`` are (id, name) in the order of the logits."""

    config: MNConfig

    def __init__(
        self,
        config: MNConfig | None = None,
        *,
        seed: int = 0,
        name: str = "mn",
        classes: Classes | None = None,
        label_type: LabelType = "multilabel",
    ):
        super().__init__()
        self.config = config = config or MNConfig()
        shapes = config.shapes
        channels = shapes[-1].outputs
        stem = conv_unit(1, round8(STEM * config.width), 3, stride=2, activation="hardswish")
        last = conv_unit(channels, 6 * channels, 1, activation="hardswish")
        self.features = nn.Sequential(stem, *self._blocks(shapes), last)
        self.classifier = build_head(config, 6 * channels)
        keyed(self, seed, mobilenet_rule)
        self.describe("mn", name, config.front_end, 6 * channels, classes, label_type)

    def _blocks(self, shapes: Sequence[BlockShape]) -> list[InvertedResidual]:
        letters, ratio, aggregate = self.config.squeeze_letters, self.config.se_ratio, self.config.se_agg
        bands, frames = stem_size(front_end(self.config.front_end).bands), stem_size(self.config.frames)
        blocks = []
        for shape in shapes:
            bands, frames = shape.size(bands), shape.size(frames)
            gated = letters and shape.squeeze
            sizes = (shape.expanded, bands, frames)
            squeeze = ConcurrentSqueezeExcite(letters, sizes, ratio, aggregate) if gated else None
            blocks.append(InvertedResidual(shape, squeeze))
        return blocks

    def stages(self) -> Sequence[nn.Module]:
        return list(self.features)

    def strides(self) -> Sequence[int]:
        return (2, *(shape.run_stride for shape in self.config.shapes), 1)

    def squeezes(self) -> dict[str, nn.Module]:
        if "c" not in self.config.squeeze_letters:
            return {}
        unit = self.config.squeeze_letters.index("c")
        blocks = {i: self.features[i] for i in range(1, 16)}
        gates = {i: block.gate for i, block in blocks.items() if isinstance(block, InvertedResidual)}
        return {f"se{i}": gate.letter(unit).fc1 for i, gate in gates.items() if gate is not None}

    def check_spec(self, spec: Spec) -> None:
        super().check_spec(spec)
        if "t" in self.config.squeeze_letters and bool((spec.lengths != self.config.frames).any()):
            raise AuricleError(
                f"{self.info.name} squeezes along time, so every clip must give {self.config.frames} mel frames; "
                f"got {sorted(set(spec.lengths.tolist()))}: cut or pad the audio"
            )
