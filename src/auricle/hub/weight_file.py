"""The weight file: safetensors whose metadata describe the encoder completely; and how tensors get into a network.

A file may come from anywhere. The network is built on the device "meta", where tensors have shapes and no memory; only
if those of the file fit does it get them. A file can thus not make the program allocate more than the file holds, and what
does not fit is named before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import replacing
from auricle.models.base import Encoder
from auricle.models.heads.base import MAIN
from auricle.models.info import EncoderInfo
from auricle.models.label_space import LabelSpace
from auricle.models.registry import build

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
        if name.endswith("input_std") and bool((value <= 0).any()):
            raise AuricleError(f"{name} in {where} holds a standard deviation that is not positive")
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


FORMAT = 2  # 2: an encoder with heads of ``Encoder.with_head``; files without such heads are still written as 1
DESCRIPTION = "auricle"  # the field of the metadata
DESCRIBED = ("name", "licence", "source")  # the fields of info that neither architecture nor label spaces decide
LONGEST_TEXT = 10_000  # characters of one of them
DEPTHS = ("depth", "decoder_depth")  # settings of an architecture: numbers of blocks
MAPPINGS = ("architecture", "info", "lineage")


def save_encoder(encoder: Encoder, path: Path | str, *, lineage: dict[str, Any] | None = None) -> None:
    """Write weights, architecture, statistics, front end, heads, label spaces, licence and lineage to a safetensors file.

    Args:
        encoder: any encoder, with or without heads.
        path: of the file; a file that is there is replaced once the new one is complete.
        lineage: JSON values: where the weights come from.

    Raises:
        AuricleError: if the disk is full or the folder is not writable.
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
    with replacing(Path(path)) as temporary:
        save_file(tensors, temporary, metadata={DESCRIPTION: json.dumps(described)})


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy those that share memory with another (members of an ensemble may): a weight file holds each by itself."""
    seen: set[int] = set()
    own = {}
    for name, value in tensors.items():
        own[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return own


def is_described(path: Path | str) -> bool:
    """Return True if a safetensors file holds Auricle's description. Raises AuricleError for a broken one."""
    return _description(path) is not None


def _description(path: Path | str) -> str | None:
    from safetensors import safe_open

    with reading(path), safe_open(path, "pt") as file:
        return (file.metadata() or {}).get(DESCRIPTION)


def describe(path: Path | str) -> dict[str, Any]:
    """Return the metadata of a weight file: "format", "architecture", "info", "lineage", "fingerprint".

    Raises:
        AuricleError: for a file that is broken, not Auricle's, or written by a newer version.
    """
    text = _description(path)
    if text is None:
        raise AuricleError(
            f"{path} is a safetensors file without Auricle's description; 'auricle models convert' makes one"
        )
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AuricleError(
            f"{path}: the description in it is damaged ({str(error)[:100]}); get the file again"
        ) from None
    return _checked(described, path)


def _checked(described: Any, path: Path | str) -> dict[str, Any]:
    """Return a description whose parts have the right types; absent ones are empty."""
    if not isinstance(described, dict) or not isinstance(described.get("architecture"), dict):
        raise AuricleError(f"{path}: the description in it names no architecture; it is damaged, get the file again")
    version = described.get("format", 0)
    if not isinstance(version, int) or version > FORMAT:
        raise AuricleError(f"{path} was written by a newer version (format {version!r}); update Auricle")
    parts = {name: described.get(name) or {} for name in MAPPINGS}
    for name, value in parts.items():
        if not isinstance(value, dict):
            raise AuricleError(f"{path}: '{name}' in its description is no mapping; it is damaged, get the file again")
    return described | parts


def read_encoder(path: Path | str) -> Encoder:
    """Load the encoder of a weight file, in evaluation mode.

    Raises:
        AuricleError: if the file is damaged, or its architecture, tensors and label spaces do not fit each other. The
            network is built only when they do.
    """
    from safetensors.torch import load_file

    described = describe(path)
    with reading(path):
        tensors = load_file(path)
        _check_depth(described["architecture"], len(tensors))
        encoder = build_strictly(lambda: build(described["architecture"], seed=None), tensors, path)
        encoder.update_info(**_texts(described["info"]))
        for head, space in _label_spaces(described["info"], encoder).items():
            encoder.set_label_space(space, head)
    return encoder


def _check_depth(architecture: dict[str, Any], tensors: int) -> None:
    """Raise AuricleError if an architecture names more blocks than the file has tensors."""
    networks, blocks = [architecture], 0
    while networks:
        network = networks.pop()
        members, config = network.get("members"), network.get("config")
        networks += [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
        depths = [config.get(name) for name in DEPTHS] if isinstance(config, dict) else []
        blocks += sum(depth for depth in depths if isinstance(depth, int))
    if blocks > tensors:
        raise AuricleError(f"the architecture in its description has {blocks} blocks, the file {tensors} tensors")


def _texts(info: dict[str, Any]) -> dict[str, str]:
    """Return name, licence and source."""
    texts = {name: info[name] for name in DESCRIBED if name in info}
    for name, value in texts.items():
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise AuricleError(f"the {name} in its description is no text of up to {LONGEST_TEXT:,} characters")
    return texts


def _info_as_json(info: EncoderInfo) -> dict[str, Any]:
    """``info`` as JSON values; ``classes`` and ``label_type`` beside the label spaces are what older versions read."""
    spaces = [space and space.as_json() for space in info.label_spaces]
    return asdict(info) | {"label_spaces": spaces, "classes": info.classes, "label_type": info.label_type}


def _label_spaces(info: dict[str, Any], encoder: Encoder) -> dict[str, LabelSpace | None]:
    """The label space of each head, from metadata of any version (the first had one head, classes and label type)."""
    if "label_spaces" in info:
        names, described = info.get("head_names"), info["label_spaces"]
        if not isinstance(described, list) or names != list(encoder.info.head_names) or len(names) != len(described):
            raise AuricleError("the heads and label spaces in its description are not those of its architecture")
        spaces = [None if space is None else LabelSpace.from_json(space) for space in described]
        return dict(zip(names, spaces))
    if not encoder.info.head_names:
        return {}
    classes, kind, count = info.get("classes"), info.get("label_type"), encoder.num_classes()
    if kind is None or count is None:
        return {MAIN: None}
    if not classes:
        return {MAIN: LabelSpace.unnamed(count, kind)}
    pairs = isinstance(classes, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in classes)
    if not pairs:
        raise AuricleError("the classes in its description are no list of ids and names")
    return {MAIN: LabelSpace.of(classes, kind)}
