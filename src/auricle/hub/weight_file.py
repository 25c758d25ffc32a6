"""The weight file: safetensors whose metadata describe the encoder completely."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.io import replacing
from auricle.hub.strict_loading import build_strictly, reading
from auricle.models.base import Encoder
from auricle.models.heads import MAIN, LabelSpace
from auricle.models.info import EncoderInfo
from auricle.models.registry import build

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2  # 2: an encoder with heads of ``Encoder.with_head``; files without such heads are still written as 1
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
        save_file(tensors, temporary, metadata={"auricle": json.dumps(described)})


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy those that share memory with another (members of an ensemble may): a weight file holds each by itself."""
    seen: set[int] = set()
    own = {}
    for name, value in tensors.items():
        own[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return own


def describe(path: Path | str) -> dict[str, Any]:
    """Return the metadata of a weight file: "format", "architecture", "info", "lineage", "fingerprint".

    Raises:
        AuricleError: for a file that is broken, not Auricle's, or written by a newer version.
    """
    from safetensors import safe_open

    with reading(path), safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get("auricle")
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
