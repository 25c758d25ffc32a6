"""The weight file: safetensors whose metadata describe the encoder completely, and the pickles of published checkpoints."""

from __future__ import annotations

import argparse
import json
import pathlib
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.io import replacing
from auricle.models.base import Encoder, EncoderInfo
from auricle.models.heads import MAIN, LabelSpace
from auricle.models.registry import build

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 2  # 2: an encoder with heads of ``Encoder.with_head``; files without such heads are still written as 1
DESCRIBED = ("name", "licence", "source")  # the fields of info that neither architecture nor label spaces decide


def save_encoder(encoder: Encoder, path: Path, *, lineage: dict[str, Any] | None = None) -> None:
    """Write weights, architecture, statistics, front end, heads, label spaces, licence and lineage to a safetensors file.

    Args:
        encoder: any encoder, with or without heads.
        path: of the file; a file that is there is replaced once the new one is complete.
        lineage: JSON values: where the weights come from.
    """
    from safetensors.torch import save_file

    architecture = encoder.architecture()
    described = {
        "format": FORMAT if "heads" in architecture else 1,
        "architecture": architecture,
        "info": _info_as_json(encoder.info),
        "fingerprint": encoder.fingerprint(),
        "lineage": lineage or {},
    }
    tensors = _apart({name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()})
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"auricle": json.dumps(described)})


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy those that share memory with another (members of an ensemble may): a weight file holds each by itself."""
    seen: set[int] = set()
    own = {}
    for name, value in tensors.items():
        own[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return own


def describe(path: Path) -> dict[str, Any]:
    """Return the metadata of a weight file. Raise AuricleError for a file that is broken or not Auricle's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("auricle")
    except (SafetensorError, OSError) as error:
        raise AuricleError(f"{path} cannot be read as a weight file: {error}") from error
    if text is None:
        raise AuricleError(
            f"{path} is a safetensors file without Auricle's description; 'auricle models convert' makes one"
        )
    described = json.loads(text)
    if described.get("format", 0) > FORMAT:
        raise AuricleError(f"{path} was written by a newer version (format {described['format']}); update Auricle")
    return described


def read_encoder(path: Path) -> Encoder:
    """Load the encoder of a weight file, in evaluation mode."""
    from safetensors.torch import load_file

    described = describe(path)
    encoder = build(described["architecture"], seed=None)
    load_strictly(encoder, load_file(path), path)
    info = described["info"]
    encoder.update_info(**{name: info[name] for name in DESCRIBED if name in info})
    for head, space in _label_spaces(info, encoder).items():
        encoder.set_label_space(space, head)
    return encoder.eval()


def _info_as_json(info: EncoderInfo) -> dict[str, Any]:
    """``info`` as JSON values; ``classes`` and ``label_type`` beside the label spaces are what older versions read."""
    spaces = [space and space.as_json() for space in info.label_spaces]
    return asdict(info) | {"label_spaces": spaces, "classes": info.classes, "label_type": info.label_type}


def _label_spaces(info: dict[str, Any], encoder: Encoder) -> dict[str, LabelSpace | None]:
    """The label space of each head, from metadata of any version (the first had one head, classes and label type)."""
    if "label_spaces" in info:
        spaces = [space and LabelSpace.from_json(space) for space in info["label_spaces"]]
        return dict(zip(info["head_names"], spaces, strict=True))
    if not encoder.info.head_names:
        return {}
    classes, kind, count = info.get("classes"), info.get("label_type"), encoder.num_classes()
    if kind is None or count is None:
        return {MAIN: None}
    return {MAIN: LabelSpace.of(classes, kind) if classes else LabelSpace.unnamed(count, kind)}


def load_strictly(module: nn.Module, tensors: dict[str, Any], where: object) -> None:
    """Load all tensors. Raise AuricleError that names what is missing, unexpected or of another shape."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [
        f"{k} {tuple(tensors[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own.keys() & tensors.keys()
        if own[k].shape != tensors[k].shape
    ]
    if missing or extra or shapes:
        lines = [f"{len(v)} {what}: {', '.join(v)}" for what, v in _named(missing, extra, shapes) if v]
        raise AuricleError(f"the weights in {where} do not fit the network; " + "; ".join(lines))
    module.load_state_dict(tensors)


def _named(missing: list[str], extra: list[str], shapes: list[str]) -> tuple[tuple[str, list[str]], ...]:
    return (("missing", missing), ("unexpected", extra), ("of another shape", shapes))


# ---- published checkpoints: pickles from strangers, read as data; nothing in them is executed
def read_pickle(path: Path) -> Any:
    """Read a ``.pth`` or ``.pt`` file: tensors, containers, numbers, paths, argparse namespaces and NumPy scalars.

    Raises:
        AuricleError: for anything else in it, for a truncated file and for one that is no checkpoint.
    """
    import torch

    allowed = [argparse.Namespace, pathlib.PosixPath, *_numpy_scalars()]
    unreadable = f"{path} is not a readable checkpoint (truncated, or another format)"
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise AuricleError(f"there is no weight file {path}") from None
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "global" in str(error):
            raise AuricleError(
                f"{path} holds more than tensors and settings and was refused: {_reason(error)}"
            ) from None
        raise AuricleError(unreadable) from None
    except LookupError:  # its text describes the state of the pickle reader, not the file
        raise AuricleError(unreadable) from None
    except (RuntimeError, EOFError, OSError, ValueError, TypeError, AttributeError) as error:
        raise AuricleError(f"{unreadable}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "global" in line.lower()]
    return (lines or str(error).splitlines() or [type(error).__name__])[0][:200]


def _numpy_scalars() -> list[Any]:
    import numpy as np

    kinds = [np.dtype(kind) for kind in ("f2", "f4", "f8", "i4", "i8", "bool")]
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    old = (scalar, "numpy.core.multiarray.scalar")  # as NumPy 1 wrote it
    return [scalar, old, np.dtype, *{type(kind) for kind in kinds}]


def write_pickle(content: Any, path: Path) -> None:
    """Write a checkpoint with ``torch.save``, in the layout that other programs read."""
    import torch

    with replacing(path) as temporary:
        torch.save(content, temporary)
