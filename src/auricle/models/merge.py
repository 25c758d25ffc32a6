"""Several detectors on one backbone as one network with several heads: one pass gives the answers of all."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.models.base import Encoder
from auricle.models.heads.base import LONGEST_NAME, MAIN, Head, is_head_name

OF_THE_HEAD = ("num_classes",)  # settings of a backbone that only its own head uses
COUNTERS = "num_batches_tracked"  # of batch norms; no result depends on them


def merge_detectors(parts: Sequence[tuple[str, Encoder]], names: Sequence[str] = ()) -> Encoder:
    """Make one encoder with the heads of several detectors, whose backbones are equal.

    Every head gives exactly what it gives in its own detector; one that is a part of a published network gives the same up to
    rounding and keeps the name "main".

    Args:
        parts: (name, detector); the name is that of its head, and stands in messages.
        names: of all heads, in the order of the detectors; empty: those of ``parts``, or of the heads of a detector that has
            several; made unique.

    Raises:
        AuricleError: for fewer than two detectors, one without a head, backbones that differ (the message names what does),
            and names that are no names of heads, not as many as the heads, or equal.
    """
    if len(parts) < 2:
        raise AuricleError("merging takes two detectors or more")
    for name, encoder in parts:
        if not encoder.info.head_names:
            raise AuricleError(f"{name} has no head: it gives features and no classes; merge detectors")
        if difference := backbone_difference(parts[0][1], encoder):
            raise AuricleError(
                f"{parts[0][0]} and {name} do not have the same backbone: {difference}; one pass cannot serve both. Detectors "
                "whose heads were learnt on the same frozen weights can be merged"
            )
    base, native = _base(parts)
    found = [(part, encoder, head) for part, encoder in parts for head in encoder.info.head_names]
    chosen = _checked_names(names, found, native) if names else _own_names(found, native)
    merged = base
    for (_, encoder, own), name in zip(found, chosen):
        space = encoder.info.label_spaces[encoder.info.head_names.index(own)]
        if not _is_native(encoder, own):
            head = copy.deepcopy(encoder.heads[own])
            assert isinstance(head, Head)
            merged = merged.with_head(head, space, name=name)
        merged.set_label_space(space, name)
    infos = [encoder.info for _, encoder in parts]
    merged.update_info(
        name="+".join(merged.info.head_names),
        licence="; ".join(dict.fromkeys(info.licence for info in infos)),
        source="; ".join(dict.fromkeys(info.source for info in infos if info.source)),
    )
    return merged.eval()


def backbone_difference(first: Encoder, second: Encoder) -> str:
    """Return what differs between two encoders without their heads, in words; an empty text if nothing does."""
    a, b = first.without_head(), second.without_head()
    if a.info.family != b.info.family:
        return f"the families are {a.info.family} and {b.info.family}"
    if a.info.front_end != b.info.front_end:
        return f"the front ends are '{a.info.front_end}' and '{b.info.front_end}'"
    ours, theirs = _settings(a), _settings(b)
    if changed := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        return f"their architectures differ in {', '.join(changed)}"
    if a.statistics() != b.statistics():
        return f"the statistics of the input are {a.statistics()} and {b.statistics()}"
    tensors, others = _tensors(a), _tensors(b)
    if tensors.keys() != others.keys():
        return "their architectures have different tensors"
    if changed := [name for name in tensors if not torch.equal(tensors[name], others[name].to(tensors[name].device))]:
        return f"{len(changed)} of their {len(tensors)} weight tensors differ, such as {changed[0]}"
    return ""


def _settings(encoder: Encoder) -> dict[str, object]:
    """The settings of an architecture by name; those of its own head aside, if it has none."""
    architecture = dict(encoder.architecture())
    config = architecture.pop("config", None)
    own = {name: value for name, value in config.items() if name not in OF_THE_HEAD} if isinstance(config, dict) else {}
    return {**architecture, **own}


def _tensors(encoder: Encoder) -> dict[str, Tensor]:
    return {name: value for name, value in encoder.state_dict().items() if not name.endswith(COUNTERS)}


Found = tuple[str, Encoder, str]  # the part's name, the detector, the name of its head


def _base(parts: Sequence[tuple[str, Encoder]]) -> tuple[Encoder, str]:
    """The network that gets the heads, and the part whose head is the network's own; an empty name for none."""
    native = [
        (name, encoder) for name, encoder in parts if any(_is_native(encoder, head) for head in encoder.info.head_names)
    ]
    if not native:
        return copy.deepcopy(parts[0][1].without_head()), ""
    if len(native) > 1:
        raise AuricleError(
            f"the heads of {native[0][0]} and {native[1][0]} are parts of the published network, which has one; train one of "
            "them with --head linear"
        )
    name, encoder = native[0]
    if encoder.info.clip_dim != encoder.without_head().info.clip_dim:
        raise AuricleError(
            f"the head of {name} changes the clip embedding, which other heads read; train it with --head linear"
        )
    return copy.deepcopy(encoder.with_only_heads(MAIN)), name


def _own_names(found: Sequence[Found], native: str) -> list[str]:
    """A name for every head: that of its part, or its own where the part has several; equal ones are numbered."""
    names: list[str] = []
    for part, encoder, head in found:
        if _is_native(encoder, head):
            names.append(MAIN)
            continue
        plain = _as_head_name(part if len(encoder.info.head_names) == 1 else head)
        taken = {*names, MAIN} if native else set(names)
        numbered = (f"{plain}-{number}" for number in itertools.count(2))
        names.append(plain if plain not in taken else next(name for name in numbered if name not in taken))
    return names


def _as_head_name(text: str) -> str:
    name = "".join(c if c.isprintable() and c != "." else "-" for c in text)[: LONGEST_NAME - 10] or "head"
    return name if is_head_name(name) else f"{name}-head"


def _checked_names(names: Sequence[str], found: Sequence[Found], native: str) -> Sequence[str]:
    heads = ", ".join(f"{part} {head}" for part, _, head in found)
    if len(names) != len(found):
        raise AuricleError(f"--names: {len(names)} names for {len(found)} heads ({heads})")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise AuricleError(f"--names: '{repeated[0]}' names two heads")
    for name, (_, encoder, head) in zip(names, found):
        if not is_head_name(name):
            raise AuricleError(f"--names: {name!r} cannot be the name of a head; choose another, without dots")
        if _is_native(encoder, head) != (name == MAIN) and native:
            raise AuricleError(
                f"--names: the head of {native} is a part of the published network and keeps the name '{MAIN}', which no other "
                "head can have"
            )
    return names


def _is_native(encoder: Encoder, head: str) -> bool:
    return head not in encoder.heads
