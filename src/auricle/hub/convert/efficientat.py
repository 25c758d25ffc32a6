"""The published EfficientAT layout, read and written: a flat state dict saved with ``torch.save`` (efficientat 1).

Module names of ``models.mn`` and ``models.dymn`` are the original's, so no tensor is renamed: ours only adds
``norm_stats``, which is (0, 1) for this family. A file does not say its strides, front end, kernel temperature and
the settings of DyMN that hold no tensors; whoever knows the name passes them (specification efficientat 1.1).
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import differences
from auricle.hub.weight_file import load_strictly, read_pickle
from auricle.models.efficientat.config import STEM, DyMNConfig, MNConfig, block_shapes, round8

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.efficientat.dymn import DyMN
    from auricle.models.efficientat.encoder import Classes
    from auricle.models.efficientat.mn import MN

WIDTHS = (0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 2.0, 3.0, 4.0)  # every published multiplier
OURS_ALONE = "norm_stats"


def to_published(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ours as the original's. Raises AuricleError for statistics, which that layout has no place for."""
    if OURS_ALONE in ours and ours[OURS_ALONE].tolist() != [0.0, 1.0]:
        raise AuricleError(
            f"the network normalises its input by {ours[OURS_ALONE].tolist()} (mean, deviation), and EfficientAT's layout "
            "cannot say so: a reader would score something else; keep it in Auricle's own layout"
        )
    return {name: value for name, value in ours.items() if name != OURS_ALONE}


def unsaid(tensors: dict[str, Tensor], config: MNConfig | DyMNConfig) -> dict[str, Any]:
    """The settings that nobody can tell from these tensors: front end and strides always, others where they are not what
    ``infer_config`` takes them for (the defaults, for a shape that it does not know)."""
    try:
        guessed = infer_config(tensors)
    except AuricleError:
        guessed = type(config)()
    always = {"front_end": config.front_end, "strides": config.strides}
    return always | {name: getattr(config, name) for name in differences(config, guessed)}


def read_published(path: Path, *, classes: Classes | None = None, name: str = "", **known: Any) -> MN | DyMN:
    """A published ``.pt`` file as an encoder in evaluation mode (``encoder.with_classes`` adapts it to other classes).

    ``known`` are fields of MNConfig or DyMNConfig that the tensors cannot say (strides, front_end, temperature …).
    Raises AuricleError for a file of another kind and when tensors do not fit.
    """
    path = Path(path)
    tensors = published_tensors(read_pickle(path), path)
    return build(tensors, infer_config(tensors, **known), path, classes=classes, name=name or path.stem)


def recognises(content: Any) -> bool:
    """Whether the contents of a pickle are this family's flat state dict."""
    return isinstance(content, dict) and bool({"features.0.0.weight", "in_c.0.weight"} & content.keys())


def published_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in a file. Raises AuricleError when it is another kind of file."""
    if not recognises(content):
        raise AuricleError(f"{path} is not an EfficientAT file: it has neither features.0.0.weight nor in_c.0.weight")
    if odd := [name for name, value in content.items() if not hasattr(value, "shape")]:
        raise AuricleError(f"{path} holds '{odd[0]}' which is no tensor; expected a flat state dict of tensors")
    return content


def build(tensors: dict[str, Tensor], config: MNConfig | DyMNConfig, path: Path, **options: Any) -> MN | DyMN:
    """The network of ``config`` with these weights; ``options`` are name, classes and label_type of MN and DyMN."""
    from auricle.models.efficientat.dymn import DyMN
    from auricle.models.efficientat.mn import MN

    encoder = MN(config, **options) if isinstance(config, MNConfig) else DyMN(config, **options)
    load_strictly(encoder, {**tensors, OURS_ALONE: encoder.norm_stats}, path)
    return encoder.eval()


def infer_config(tensors: dict[str, Tensor], **known: Any) -> MNConfig | DyMNConfig:
    """What the tensors say of the network, and what the caller knows beside it."""
    kind: type[MNConfig | DyMNConfig] = MNConfig if "features.0.0.weight" in tensors else DyMNConfig
    try:
        said = _mn(tensors) if kind is MNConfig else _dymn(tensors)
    except KeyError as missing:
        raise AuricleError(f"the file has no {missing}: it is cut short, or not an EfficientAT network") from None
    names = {field.name for field in fields(kind)}
    if unknown := known.keys() - names:
        raise AuricleError(f"{kind.__name__} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(names))}")
    return kind(**{**said, **known})


def _mn(tensors: dict[str, Tensor]) -> dict[str, Any]:
    projections = [_last(tensors, f"features.{i}.block.", ".0.weight").shape[0] for i in range(1, 16)]
    width, reduced = _width(tensors["features.0.0.weight"].shape[0], projections)
    gates = [name for name in tensors if name.startswith("features.5.block.") and name.endswith("fc1.weight")]
    said: dict[str, Any] = {"width": width, "reduced_tail": reduced, **_head(tensors)}
    if not gates:
        return said | {"se_dims": "none"}
    if len(gates) == 1 and "features.15.block.2.conc_se_layers.0.fc1.weight" in tensors:
        gate = tensors["features.15.block.2.conc_se_layers.0.fc1.weight"]
        if gate.shape[1] == tensors["features.15.block.1.0.weight"].shape[0]:
            return said | {"se_dims": "c", "se_ratio": _ratio(gate.shape[1], gate.shape[0])}
    return said  # which axes several gates work on is for the caller to say


def _ratio(size: int, hidden: int) -> int:
    """The squeeze ratio of the published networks, 4, unless the tensor says otherwise."""
    return 4 if round8(size // 4) == hidden else max(1, round(size / hidden))


def _head(tensors: dict[str, Tensor]) -> dict[str, Any]:
    if "classifier.5.bias" in tensors:
        return {"head": "mlp", "num_classes": len(tensors["classifier.5.bias"])}
    if "classifier.1.bias" in tensors:
        return {"head": "fully_convolutional", "num_classes": len(tensors["classifier.1.bias"])}
    if "classifier.head_weight" in tensors:
        heads = tensors["classifier.head_weight"].shape[1]
        outputs = len(tensors["classifier.subspace_proj.bias"])
        return {"head": "multihead_attention_pooling", "num_heads": heads, "num_classes": outputs // (2 * heads)}
    raise AuricleError("the file has no classifier that an EfficientAT network knows")


def _dymn(tensors: dict[str, Tensor]) -> dict[str, Any]:
    everywhere = not any(name.startswith("layers.0.block.") for name in tensors)
    norms = [f"layers.{i}.proj_norm.weight" for i in range(15)]
    outputs = [
        len(tensors[n]) if n in tensors else len(_last(tensors, f"layers.{i}.block.", ".1.weight"))
        for i, n in enumerate(norms)
    ]
    width, _ = _width(tensors["in_c.0.weight"].shape[0], outputs)
    said: dict[str, Any] = {"width": width, "num_classes": len(tensors["classifier.5.bias"])}
    said["dynamic_blocks"] = "all" if everywhere else "replace_se"
    kernels, lines = tensors.get("layers.14.depth_conv.weight"), tensors.get("layers.14.depth_act.init_v")
    said |= {"dynamic_conv": kernels is not None, "dynamic_relu": lines is not None}
    if kernels is not None:
        said["conv_kernels"] = kernels.shape[2]
    if lines is not None:
        said["relu_lines"] = len(lines) // 2
    return said


def _last(tensors: dict[str, Tensor], start: str, end: str) -> Tensor:
    """The tensor of the highest-numbered unit of a block, which is its projection."""
    units = [int(n.removeprefix(start).split(".")[0]) for n in tensors if n.startswith(start) and n.endswith(end)]
    name = f"{start}{max(units, default=0)}{end}"
    if name not in tensors:
        raise AuricleError(f"the file has no {name}: it is cut short, or not an EfficientAT network")
    return tensors[name]


def _width(stem: int, outputs: list[int]) -> tuple[float, bool]:
    """The multiplier whose rounded channels these are, and whether the tail is reduced."""
    for reduced in (False, True):
        for width in WIDTHS:
            shapes = block_shapes(width, reduced_tail=reduced)
            if round8(STEM * width) == stem and [shape.outputs for shape in shapes] == outputs:
                return width, reduced
    raise AuricleError(f"no width multiplier gives blocks of {outputs} channels; known: {', '.join(map(str, WIDTHS))}")
