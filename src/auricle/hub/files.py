"""The weight file: safetensors whose metadata say everything, so that nobody parses a name or asks upstream."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.atomic import replacing
from auricle.errors import AuricleError
from auricle.hub.families import build
from auricle.models.contract import Encoder, EncoderInfo

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
DESCRIBED = (
    "name",
    "licence",
    "source",
    "classes",
    "label_type",
)  # the fields of info that an architecture does not decide


def save_encoder(encoder: Encoder, path: Path, *, lineage: dict[str, Any] | None = None) -> None:
    """Weights, architecture, statistics, front end, classes, licence and lineage in one safetensors file."""
    from safetensors.torch import save_file

    described = {
        "format": FORMAT,
        "architecture": encoder.architecture(),
        "info": asdict(encoder.info),
        "fingerprint": encoder.fingerprint(),
        "lineage": lineage or {},
    }
    tensors = _apart({name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()})
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"auricle": json.dumps(described)})


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same, those that share memory (an ensemble's members may) copied: a weight file holds each by itself."""
    seen: set[int] = set()
    found = {}
    for name, value in tensors.items():
        found[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return found


def describe(path: Path) -> dict[str, Any]:
    """What an encoder file says of itself. Raises AuricleError when it is not one of ours, or broken."""
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
    """The encoder of a weight file, in evaluation mode."""
    from safetensors.torch import load_file

    described = describe(path)
    encoder = build(described["architecture"])
    load_strictly(encoder, load_file(path), path)
    known = {f.name for f in fields(EncoderInfo)}
    said = {key: value for key, value in described["info"].items() if key in DESCRIBED and key in known}
    if said.get("classes"):
        said["classes"] = tuple(tuple(pair) for pair in said["classes"])
    encoder.rename(**said)
    return encoder.eval()


def load_strictly(module: nn.Module, tensors: dict[str, Any], where: object) -> None:
    """Load all tensors or say, by name, what is missing, unexpected or of another shape."""
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
