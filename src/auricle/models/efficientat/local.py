"""MN in two parts: the stages before the first squeeze-and-excitation, which see a few frames, and the rest."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from auricle.models.efficientat.mn import MN, InvertedResidual
from auricle.models.efficientat.onednn import Graphs
from auricle.models.heads.base import MAIN
from auricle.models.local_layers import LocalLayers


def local_layers(network: MN) -> LocalLayers | None:
    """Return the two parts of a folded network; None for one without squeeze-and-excitation, or with other heads."""
    stages = list(network.stages())
    gated = [i for i, stage in enumerate(stages) if isinstance(stage, InvertedResidual) and stage.gate is not None]
    native = network.info.head_names == (MAIN,) and MAIN not in network.heads
    if not gated or not native or network.exact_frames is not None or network.graphs is None:
        return None
    cut, name = gated[0], network.fingerprint()
    first = LocalPart(stages[:cut], None, f"{name} stages before {cut}")
    rest = LocalPart(stages[cut:], network.classifier, f"{name} stages from {cut}")
    stride, left, right = sight(stages[:cut])

    def maps(values: Tensor) -> Tensor:
        return first(values.unsqueeze(1))

    def logits(x: Tensor) -> dict[str, Tensor]:
        return {MAIN: rest(x).float()}

    return LocalLayers(stride, left, right, maps, logits)


def sight(stages: Sequence[nn.Module]) -> tuple[int, int, int]:
    """Return the frames from one column to the next, and how many a column sees to the left and the right of its first."""
    stride, left, right = 1, 0, 0
    convs = [module for stage in stages for module in stage.modules() if isinstance(module, nn.Conv2d)]
    for conv in convs:
        padding = conv.padding[1]
        assert isinstance(padding, int)
        left += padding * stride
        right += ((conv.kernel_size[1] - 1) * conv.dilation[1] - padding) * stride
        stride *= conv.stride[1]
    return stride, left, right


class LocalPart(nn.Module):
    """Stages in a row, and a head behind them or none. A shape that keeps coming gets a graph, as for a whole network."""

    def __init__(self, stages: Sequence[nn.Module], head: nn.Module | None, name: str):
        super().__init__()
        self.stages, self.head, self.name, self.graphs = nn.Sequential(*stages), head, name, Graphs()

    def forward(self, x: Tensor) -> Tensor:
        return self.graphs(self, x)

    def class_scores(self, x: Tensor) -> Tensor:
        x = self.stages(x)
        return x if self.head is None else self.head(x)

    def fingerprint(self) -> str:
        return self.name
