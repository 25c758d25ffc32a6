"""The identity of a network as a checksum of its architecture and tensors, the same on any machine; and the cached copy that
``Encoder.for_inference`` returns.

The copy is made again if the encoder has changed: another tensor or memory address (``to``, ``half``), a tensor modified in
place (``load_state_dict``, an optimizer step), other settings or another ``info``. PyTorch counts the modifications of a
tensor (``Tensor._version``), so no hash is needed. PyTorch does not count changes through ``.data`` and inside
``torch.inference_mode``, so they are not detected.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo


FIRST_NAMES = {  # of settings: fingerprints stay what they were when the settings had these names
    "embed_dim": "width",
    "num_heads": "heads",
    "n_mels": "mel_bins",
    "ffn_dim": "ffn_width",
    "decoder_embed_dim": "decoder_width",
}


def fingerprint_of(architecture: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return 16 hex digits of a SHA-256 over an architecture and tensors by name."""
    digest = hashlib.sha256(json.dumps(_first_names(architecture), sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _first_names(architecture: Any) -> Any:
    """An architecture with the first names of its settings; "auto" heads were 0."""
    if isinstance(architecture, list):
        return [_first_names(part) for part in architecture]
    if not isinstance(architecture, dict):
        return architecture
    named = {FIRST_NAMES.get(name, name): _first_names(value) for name, value in architecture.items()}
    return {name: 0 if name == "heads" and value is None else value for name, value in named.items()}


MAKING = threading.RLock()  # one copy at a time in a process; an ensemble makes those of its members


@dataclass(frozen=True, eq=False)
class EncoderVersion:
    """What an encoder was at one moment. ``tensors`` share the memory of its parameters and buffers, so that no other
    tensor can take their place in memory while this object lives."""

    info: EncoderInfo
    architecture: dict
    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    versions: tuple[int, ...]

    @classmethod
    def of(cls, encoder: Encoder) -> EncoderVersion:
        """Note what ``encoder`` is now."""
        named = named_tensors(encoder)
        tensors = tuple(tensor.detach() for tensor in named.values())
        return cls(encoder.info, encoder.architecture(), tuple(named), tensors, tuple(map(_version, named.values())))

    def is_current(self, encoder: Encoder) -> bool:
        """Return True if ``encoder`` has not changed since."""
        named = named_tensors(encoder)
        return (
            tuple(named) == self.names
            and all(_same_memory(a, b) for a, b in zip(self.tensors, named.values()))
            and tuple(map(_version, named.values())) == self.versions
            and encoder.info == self.info
            and encoder.architecture() == self.architecture
        )


def sharing_copy(encoder: Encoder) -> Encoder:
    """Copy the modules of an encoder and share its tensors: modes and settings of the copy are independent."""
    return copy.deepcopy(encoder, {id(tensor): tensor for tensor in named_tensors(encoder).values()})


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by its name, in one walk over the modules."""
    return {
        f"{path}.{name}": tensor
        for path, part in module.named_modules()
        for name, tensor in (*part._parameters.items(), *part._buffers.items())
        if tensor is not None
    }


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _same_memory(a: Tensor, b: Tensor) -> bool:
    return (
        a.data_ptr() == b.data_ptr()
        and (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
        and a.stride() == b.stride()
    )
