"""Load tensors from a file into a network, and name what does not fit before memory is allocated for it.

A file may come from anywhere. The network is built on the device "meta", where tensors have shapes and no memory; only
if those of the file fit does it get them. A file can thus not make the program allocate more than the file holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from auricle.core.errors import AuricleError, MissingExtra

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.base import Encoder

Network = TypeVar("Network", bound="Encoder")
COUNTERS = ("num_batches_tracked",)  # of batch norms: no result depends on them, and older files lack them
MOST_SHARED = 4  # bytes of tensors for each byte in the file: tied weights share theirs
LONGEST_LIST = 20  # names in a message


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into an AuricleError; every message names the file."""
    try:
        yield
    except MissingExtra:
        raise
    except AuricleError as error:
        if str(path) in str(error):
            raise
        raise AuricleError(f"{path}: {error}") from error
    except MemoryError:
        raise AuricleError(f"{path} needs more memory than this machine has") from None
    except FileNotFoundError:
        raise AuricleError(f"there is no weight file {path}") from None
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise AuricleError(
            f"{path} cannot be read as a weight file ({type(error).__name__}: {reason}); it is damaged, or of another program"
        ) from error


def build_strictly(
    make: Callable[[], Network],
    tensors: Mapping[str, Tensor],
    where: object,
    *,
    own: Mapping[str, Tensor] | None = None,
) -> Network:
    """Build a network with the tensors of a file.

    Args:
        make: builds the network without seed; it is called on the device "meta".
        tensors: of the file, by the network's names.
        where: names the file in messages.
        own: values of tensors that the file may lack.

    Returns:
        The network, in evaluation mode. Its memory is its own, not the file's.

    Raises:
        AuricleError: names what is missing, unexpected, of another shape or kind, not finite or out of range.
    """
    with torch.device("meta"):
        network = make()
    expected = network.state_dict()
    counters = {name: torch.zeros(value.shape) for name, value in expected.items() if name.endswith(COUNTERS)}
    given = {**counters, **(own or {}), **tensors}
    _check_fit(expected, given, where)
    values = {name: _copied(given[name], slot.dtype) for name, slot in expected.items()}
    _check_values(values, where)
    network.load_state_dict(values, assign=True)
    return network.eval()


def _copied(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)


def check_finite(tensors: Mapping[str, Tensor], where: object) -> None:
    """Raise AuricleError that names the tensors with NaN or infinite values."""
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not _finite(value)]
    if bad:
        raise AuricleError(
            f"{len(bad)} tensors in {where} hold NaN or infinity: {_listed(bad)}; the weights are damaged"
        )


def _check_fit(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], where: object) -> None:
    common = [name for name in expected if name in given]
    lines = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": [
            f"{n} {tuple(given[n].shape)} instead of {tuple(expected[n].shape)}"
            for n in common
            if given[n].shape != expected[n].shape
        ],
        "of another kind": [
            f"{n} holds {str(given[n].dtype).removeprefix('torch.')} instead of floating-point numbers"
            for n in common
            if expected[n].is_floating_point() and not given[n].is_floating_point()
        ],
    }
    if any(lines.values()):
        found = "; ".join(f"{len(names)} {what}: {_listed(sorted(names))}" for what, names in lines.items() if names)
        raise AuricleError(f"the weights in {where} do not fit the network; {found}")


def _check_values(tensors: Mapping[str, Tensor], where: object) -> None:
    check_finite(tensors, where)
    for name, value in tensors.items():
        if name.endswith("running_var") and bool((value < 0).any()):
            raise AuricleError(f"{name} in {where} holds a negative variance; the weights are damaged")
        if name.endswith("norm_stats") and not float(value.flatten()[-1]) > 0:
            raise AuricleError(f"{name} in {where} holds a standard deviation that is not positive")


def _finite(value: Tensor) -> bool:
    if value.element_size() < 2:  # 8-bit floating-point numbers have few operations
        value = value.float()
    return bool(torch.isfinite(value).all())


def _listed(names: list[str]) -> str:
    more = len(names) - LONGEST_LIST
    return ", ".join(names[:LONGEST_LIST]) + (f" and {more} more" if more > 0 else "")


def as_tensors(state: Mapping[Any, Any], where: object) -> dict[str, Tensor]:
    """Return the tensors of a state dictionary from a stranger's file.

    Raises:
        AuricleError: for a name that is no text, a value that is no dense tensor of numbers, and a tensor that repeats
            its numbers in memory: it claims to be larger than what the file holds.
    """
    claimed, held = 0, {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise AuricleError(f"{where} names a tensor {name!r}; expected text")
        if not isinstance(value, torch.Tensor):
            raise AuricleError(f"{where} holds '{name}', which is not a tensor; expected a dictionary of tensors")
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
            raise AuricleError(f"{where} holds '{name}', which is not a dense tensor of numbers")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise AuricleError(
                f"{where} holds '{name}' of the shape {tuple(value.shape)}, but fewer numbers: the file is damaged or forged"
            )
        claimed += value.numel() * value.element_size()
        held[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
    if claimed > MOST_SHARED * sum(held.values()):
        raise AuricleError(f"the tensors of {where} claim {claimed:,} bytes, the file holds {sum(held.values()):,}")
    return dict(state)
