"""Read and write the published EfficientAT layout: a flat state dict saved with ``torch.save``.

Source: [efficientat 1](docs/specification/efficientat.md#s1).

``models.efficientat`` uses the module names of the original, so no tensor is renamed. Auricle only adds ``norm_stats``,
which is (0, 1) for this family. The tensors do not determine the strides, the front end, the kernel temperature and
some settings of DyMN; the caller passes them ([efficientat 1.1](docs/specification/efficientat.md#s1-1)).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import differences
from auricle.hub.pickles import read_pickle
from auricle.hub.weight_file import as_tensors, build_strictly, reading
from auricle.models.efficientat.config import STEM, DyMNConfig, MNConfig, round8

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.efficientat.dymn import DyMN
    from auricle.models.efficientat.encoder import Classes
    from auricle.models.efficientat.mn import MN

WIDTHS = (0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 2.0, 3.0, 4.0)  # every published multiplier
RATIOS = (4, 8, 16, 2, 32)  # of squeeze-and-excitation and of contexts: the published one, then the usual ones
CONTEXT = {"context_ratio", "min_context", "max_context"}
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


def read_published(path: Path | str, *, classes: Classes | None = None, name: str = "", **known: Any) -> MN | DyMN:
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
    with reading(path):
        tensors = published_tensors(read_pickle(path), path)
        return build(tensors, infer_config(tensors, **known), path, classes=classes, name=name or path.stem)


def is_published(content: Any) -> bool:
    """Return True if the contents of a pickle are this family's flat state dict."""
    return isinstance(content, dict) and bool({"features.0.0.weight", "in_c.0.weight"} & content.keys())


def published_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file. Raise AuricleError if the file has another layout."""
    if not is_published(content):
        raise AuricleError(f"{path} is not an EfficientAT file: it has neither features.0.0.weight nor in_c.0.weight")
    return as_tensors(content, path)


def build(tensors: dict[str, Tensor], config: MNConfig | DyMNConfig, path: Path, **options: Any) -> MN | DyMN:
    """Build the network of ``config`` with these weights; ``options`` are name, classes and label_type of MN and DyMN."""
    import torch

    from auricle.models.efficientat.dymn import DyMN
    from auricle.models.efficientat.mn import MN

    def make() -> MN | DyMN:
        network = MN if isinstance(config, MNConfig) else DyMN
        return network(config, seed=None, **options)  # type: ignore[arg-type]

    return build_strictly(make, tensors, path, own={ADDED_BY_AURICLE: torch.tensor([0.0, 1.0])})


def infer_config(tensors: dict[str, Tensor], **known: Any) -> MNConfig | DyMNConfig:
    """Infer the config of a network from its tensors; ``known`` are fields that the caller sets.

    Raises:
        AuricleError: if tensors are missing, or a field of ``known`` does not exist.
    """
    kind: type[MNConfig | DyMNConfig] = MNConfig if "features.0.0.weight" in tensors else DyMNConfig
    names = {field.name for field in fields(kind)}
    if unknown := known.keys() - names:
        raise AuricleError(f"{kind.__name__} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(names))}")
    try:
        inferred = _mn(tensors, known) if kind is MNConfig else _dymn(tensors, known)
    except KeyError as missing:
        raise AuricleError(f"the file has no {missing}: it is truncated or not an EfficientAT network") from None
    except (IndexError, TypeError, ZeroDivisionError, ValueError) as error:
        if isinstance(error, AuricleError):
            raise
        raise AuricleError(f"the tensors have shapes that no EfficientAT network has ({error})") from None
    return kind(**{**inferred, **known})


def _mn(tensors: dict[str, Tensor], known: dict[str, Any]) -> dict[str, Any]:
    blocks = [_out_and_in(_last(tensors, f"features.{i}.block.", ".0.weight")) for i in range(1, 16)]
    width, reduced = _width(_channels(tensors, "features.0.0.weight", blocks), known)
    gates = [name for name in tensors if name.startswith("features.5.block.") and name.endswith("fc1.weight")]
    settings: dict[str, Any] = {"width": width, "reduced_tail": reduced, **_head(tensors)}
    if not gates:
        return settings | {"se_dims": "none"}
    letters = known.get("se_dims", "c" if len(gates) == 1 and _squeezes_channels(tensors, 0) else "")
    if "c" in letters:
        return settings | {"se_dims": letters, "se_ratio": _ratio(tensors, letters.index("c"))}
    return settings  # the tensors do not determine which axes several gates work on; the caller sets it


def _squeezes_channels(tensors: dict[str, Tensor], unit: int) -> bool:
    """Return True if a unit of squeeze-and-excitation works on the channels, by its sizes in the last block."""
    gate = tensors.get(f"features.15.block.2.conc_se_layers.{unit}.fc1.weight")
    return gate is not None and gate.shape[1] == tensors["features.15.block.1.0.weight"].shape[0]


def _ratio(tensors: dict[str, Tensor], unit: int) -> int:
    """Return the squeeze ratio that gives the sizes of the gates on channels in all blocks, the common ones first.

    The sizes are rounded to multiples of 8, so those of one block fit several ratios.
    """
    name = re.compile(rf"features\.\d+\.block\.\d+\.conc_se_layers\.{unit}\.fc1\.weight")
    gates = [tuple(value.shape) for key, value in tensors.items() if name.fullmatch(key)]
    largest = max(size for _, size in gates)
    for ratio in (*RATIOS, *range(1, largest + 1)):
        if all(round8(size // ratio) == hidden for hidden, size in gates):
            return ratio
    raise AuricleError(f"no squeeze ratio gives squeeze-and-excitation of these sizes (hidden, channels): {gates}")


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


def _dymn(tensors: dict[str, Tensor], known: dict[str, Any]) -> dict[str, Any]:
    everywhere = not any(name.startswith("layers.0.block.") for name in tensors)
    blocks = [_dynamic_or_plain(tensors, i) for i in range(15)]
    width, _ = _width(_channels(tensors, "in_c.0.weight", blocks), known | {"reduced_tail": False})
    settings: dict[str, Any] = {"width": width, "num_classes": len(tensors["classifier.5.bias"])}
    settings["dynamic_blocks"] = "all" if everywhere else "replace_se"
    kernels, lines = tensors.get("layers.14.depth_conv.weight"), tensors.get("layers.14.depth_act.init_v")
    settings |= {"dynamic_conv": kernels is not None, "dynamic_relu": lines is not None}
    if kernels is not None:
        settings["conv_kernels"] = kernels.shape[2]
    if lines is not None:
        settings["relu_lines"] = len(lines) // 2
    return settings | _contexts(tensors, DyMNConfig(width=width, dynamic_blocks=settings["dynamic_blocks"]), known)


def _contexts(tensors: dict[str, Tensor], config: DyMNConfig, known: dict[str, Any]) -> dict[str, int]:
    """Return the context ratio and limits that give the context sizes of all dynamic blocks; {} for the defaults."""
    name = "layers.{}.context_gen.joint_conv.weight"
    sizes = {i: len(tensors[name.format(i)]) for i in range(15) if name.format(i) in tensors}
    if not sizes or CONTEXT & known.keys():
        return {}

    def limits(default: int, size: int) -> list[int]:
        fitting = [limit for limit in range(8, size * 8 + 8, 8) if round8(limit * config.width) == size]
        return [default, *fitting[:1]]

    shapes = config.shapes
    lowest, highest = limits(32, min(sizes.values())), limits(128, max(sizes.values()))
    for ratio, low, high in itertools.product((*RATIOS, *range(1, 65)), lowest, highest):
        candidate = replace(config, context_ratio=ratio, min_context=low, max_context=high)
        if all(candidate.context(shapes[i]) == size for i, size in sizes.items()):
            return {"context_ratio": ratio, "min_context": low, "max_context": high}
    return {}


def _last(tensors: dict[str, Tensor], start: str, end: str) -> Tensor:
    """Return the tensor of the highest-numbered unit of a block, which is its projection."""
    units = [int(n.removeprefix(start).split(".")[0]) for n in tensors if n.startswith(start) and n.endswith(end)]
    name = f"{start}{max(units, default=0)}{end}"
    if name not in tensors:
        raise AuricleError(f"the file has no {name}: it is truncated or not an EfficientAT network")
    return tensors[name]


def _dynamic_or_plain(tensors: dict[str, Tensor], block: int) -> tuple[int, int]:
    """Return the output and the expanded channels of a block of DyMN."""
    if f"layers.{block}.proj_norm.weight" in tensors:
        return len(tensors[f"layers.{block}.proj_norm.weight"]), len(tensors[f"layers.{block}.depth_norm.weight"])
    return _out_and_in(_last(tensors, f"layers.{block}.block.", ".0.weight"))


def _out_and_in(projection: Tensor) -> tuple[int, int]:
    return projection.shape[0], projection.shape[1]


def _channels(tensors: dict[str, Tensor], stem: str, blocks: list[tuple[int, int]]) -> list[int]:
    """Return the channels of the stem, of the outputs and insides of all blocks, and of the head's hidden layer if there is one."""
    hidden = tensors.get("classifier.2.weight")
    sizes = [len(tensors[stem]), *(out for out, _ in blocks), *(expanded for _, expanded in blocks)]
    return [*sizes, *([] if hidden is None else [len(hidden)])]


def _width(channels: list[int], known: dict[str, Any]) -> tuple[float, bool]:
    """Return the width multiplier that gives these channels, and whether the tail is reduced.

    Several multipliers give the same channels. That of ``known`` comes first, then the published ones, then the roundest.
    """
    for reduced in (known["reduced_tail"],) if "reduced_tail" in known else (False, True):
        for width in (known["width"],) if "width" in known else (*WIDTHS, *_round_widths(channels[0])):
            if round8(STEM * width) != channels[0]:
                continue
            config = MNConfig(width=width, reduced_tail=reduced)
            shapes = config.shapes
            sizes = [
                round8(STEM * width),
                *(s.outputs for s in shapes),
                *(s.expanded for s in shapes),
                config.last_width,
            ]
            if sizes[: len(channels)] == channels:
                return width, reduced
    tried = f"the width multiplier {known['width']} does not give" if "width" in known else "no width multiplier gives"
    raise AuricleError(f"{tried} these channels (of stem, blocks, their insides and the head): {channels}")


def _round_widths(stem: int) -> Iterator[float]:
    """Return the multipliers that may give a stem of so many channels, those with the fewest decimals first."""
    low, high = (stem - 8) / STEM, (stem + 8) / STEM
    for step in (10, 20, 100, 1000):
        yield from (number / step for number in range(max(1, math.floor(low * step)), math.ceil(high * step) + 1))
