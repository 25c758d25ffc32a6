"""Cache the copy of an encoder that ``Encoder.for_inference`` returns, and detect when it is out of date.

The copy is made again if the encoder has changed: another tensor or memory address (``to``, ``half``), a tensor modified in
place (``load_state_dict``, an optimizer step), other settings or another ``info``. PyTorch counts the modifications of a
tensor (``Tensor._version``), so no hash is needed. PyTorch does not count changes through ``.data`` and inside
``torch.inference_mode``, so they are not detected.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo

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
