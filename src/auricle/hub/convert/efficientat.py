"""Read and write the published EfficientAT layout: a flat state dict saved with ``torch.save``.

Source: [efficientat 1](docs/specification/efficientat.md#s1).

``models.efficientat`` uses the module names of the original, so no tensor is renamed. Auricle only adds ``norm_stats``,
which is (0, 1) for this family. The tensors do not determine the strides, the front end, the kernel temperature and
some settings of DyMN; the caller passes them ([efficientat 1.1](docs/specification/efficientat.md#s1-1)).
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
ADDED_BY_AURICLE = "norm_stats"


def to_published(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert Auricle's state dict to the published layout.

    Raises:
        AuricleError: if the network normalises its input; the published layout does not store these statistics.
    """
    if ADDED_BY_AURICLE in ours and ours[ADDED_BY_AURICLE].tolist() != [0.0, 1.0]:
        raise AuricleError(
            f"the network normalises its input by {ours[ADDED_BY_AURICLE].tolist()} (mean, std), and EfficientAT's layout "
            "cannot store this: a reader would compute other scores; keep it in Auricle's own layout"
        )
    return {name: value for name, value in ours.items() if name != ADDED_BY_AURICLE}


def settings_not_in_tensors(tensors: dict[str, Tensor], config: MNConfig | DyMNConfig) -> dict[str, Any]:
    """Return the settings that ``infer_config`` cannot infer from these tensors.

    The front end and the strides are always among them, other settings only if ``infer_config`` infers another value.
    """
    try:
        inferred = infer_config(tensors)
    except AuricleError:
        inferred = type(config)()
    always = {"front_end": config.front_end, "strides": config.strides}
    return always | {name: getattr(config, name) for name in differences(config, inferred)}


def read_published(path: Path, *, classes: Classes | None = None, name: str = "", **known: Any) -> MN | DyMN:
    """Read a published ``.pt`` file as an encoder in evaluation mode (``encoder.with_classes`` adapts it to other classes).

    Args:
        path: the file.
        classes: (id, name) of the classes in the order of the logits; None if unknown.
        name: name of the encoder; "": the name of the file.
        known: fields of MNConfig or DyMNConfig that the tensors do not determine (strides, front_end, temperature …).

    Raises:
        AuricleError: if the file has another layout, or tensors do not fit.
    """
    path = Path(path)
    tensors = published_tensors(read_pickle(path), path)
    return build(tensors, infer_config(tensors, **known), path, classes=classes, name=name or path.stem)


def is_published(content: Any) -> bool:
    """Return True if the contents of a pickle are this family's flat state dict."""
    return isinstance(content, dict) and bool({"features.0.0.weight", "in_c.0.weight"} & content.keys())


def published_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file. Raise AuricleError if the file has another layout."""
    if not is_published(content):
        raise AuricleError(f"{path} is not an EfficientAT file: it has neither features.0.0.weight nor in_c.0.weight")
    if not_tensors := [name for name, value in content.items() if not hasattr(value, "shape")]:
        raise AuricleError(
            f"{path} holds '{not_tensors[0]}', which is not a tensor; expected a flat state dict of tensors"
        )
    return content


def build(tensors: dict[str, Tensor], config: MNConfig | DyMNConfig, path: Path, **options: Any) -> MN | DyMN:
    """Build the network of ``config`` with these weights; ``options`` are name, classes and label_type of MN and DyMN."""
    from auricle.models.efficientat.dymn import DyMN
    from auricle.models.efficientat.mn import MN

    encoder = MN(config, **options) if isinstance(config, MNConfig) else DyMN(config, **options)
    load_strictly(encoder, {**tensors, ADDED_BY_AURICLE: encoder.norm_stats}, path)
    return encoder.eval()


def infer_config(tensors: dict[str, Tensor], **known: Any) -> MNConfig | DyMNConfig:
    """Infer the config of a network from its tensors; ``known`` are fields that the caller sets.

    Raises:
        AuricleError: if tensors are missing, or a field of ``known`` does not exist.
    """
    kind: type[MNConfig | DyMNConfig] = MNConfig if "features.0.0.weight" in tensors else DyMNConfig
    try:
        inferred = _mn(tensors) if kind is MNConfig else _dymn(tensors)
    except KeyError as missing:
        raise AuricleError(f"the file has no {missing}: it is truncated or not an EfficientAT network") from None
    names = {field.name for field in fields(kind)}
    if unknown := known.keys() - names:
        raise AuricleError(f"{kind.__name__} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(names))}")
    return kind(**{**inferred, **known})


def _mn(tensors: dict[str, Tensor]) -> dict[str, Any]:
    projections = [_last(tensors, f"features.{i}.block.", ".0.weight").shape[0] for i in range(1, 16)]
    width, reduced = _width(tensors["features.0.0.weight"].shape[0], projections)
    gates = [name for name in tensors if name.startswith("features.5.block.") and name.endswith("fc1.weight")]
    settings: dict[str, Any] = {"width": width, "reduced_tail": reduced, **_head(tensors)}
    if not gates:
        return settings | {"se_dims": "none"}
    if len(gates) == 1 and "features.15.block.2.conc_se_layers.0.fc1.weight" in tensors:
        gate = tensors["features.15.block.2.conc_se_layers.0.fc1.weight"]
        if gate.shape[1] == tensors["features.15.block.1.0.weight"].shape[0]:
            return settings | {"se_dims": "c", "se_ratio": _ratio(gate.shape[1], gate.shape[0])}
    return settings  # the tensors do not determine which axes several gates work on; the caller sets it


def _ratio(size: int, hidden: int) -> int:
    """Return the squeeze ratio: 4 as in the published networks if the tensor fits it, else the one that fits."""
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
    raise AuricleError("the file has no classifier of an EfficientAT network")


def _dymn(tensors: dict[str, Tensor]) -> dict[str, Any]:
    everywhere = not any(name.startswith("layers.0.block.") for name in tensors)
    norms = [f"layers.{i}.proj_norm.weight" for i in range(15)]
    outputs = [
        len(tensors[n]) if n in tensors else len(_last(tensors, f"layers.{i}.block.", ".1.weight"))
        for i, n in enumerate(norms)
    ]
    width, _ = _width(tensors["in_c.0.weight"].shape[0], outputs)
    settings: dict[str, Any] = {"width": width, "num_classes": len(tensors["classifier.5.bias"])}
    settings["dynamic_blocks"] = "all" if everywhere else "replace_se"
    kernels, lines = tensors.get("layers.14.depth_conv.weight"), tensors.get("layers.14.depth_act.init_v")
    settings |= {"dynamic_conv": kernels is not None, "dynamic_relu": lines is not None}
    if kernels is not None:
        settings["conv_kernels"] = kernels.shape[2]
    if lines is not None:
        settings["relu_lines"] = len(lines) // 2
    return settings


def _last(tensors: dict[str, Tensor], start: str, end: str) -> Tensor:
    """Return the tensor of the highest-numbered unit of a block, which is its projection."""
    units = [int(n.removeprefix(start).split(".")[0]) for n in tensors if n.startswith(start) and n.endswith(end)]
    name = f"{start}{max(units, default=0)}{end}"
    if name not in tensors:
        raise AuricleError(f"the file has no {name}: it is truncated or not an EfficientAT network")
    return tensors[name]


def _width(stem: int, outputs: list[int]) -> tuple[float, bool]:
    """Return the width multiplier that gives these channels, and whether the tail is reduced."""
    for reduced in (False, True):
        for width in WIDTHS:
            shapes = block_shapes(width, reduced_tail=reduced)
            if round8(STEM * width) == stem and [shape.outputs for shape in shapes] == outputs:
                return width, reduced
    raise AuricleError(f"no width multiplier gives blocks of {outputs} channels; known: {', '.join(map(str, WIDTHS))}")
