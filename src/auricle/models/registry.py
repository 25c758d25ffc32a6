"""The families of encoders, and how to build a network from the architecture in a file's metadata."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import from_plain
from auricle.models.base import Encoder
from auricle.models.heads.make import build_head


def _m2d(
    config: Any, *, head: Any = None, one_piece: bool = False, front_end: str | None = None, seed: int | None = 0
) -> Encoder:
    from auricle.models.m2d.config import M2DHeadConfig, ViTConfig
    from auricle.models.m2d.encoder import M2DEncoder

    classifier = None if head is None else _config(M2DHeadConfig, head)
    sizes, piece, own = _config(ViTConfig, config), bool(one_piece), None if front_end is None else str(front_end)
    return M2DEncoder(sizes, head=classifier, one_piece=piece, front_end=own, seed=seed)


def _mae_ast(config: Any, *, through_decoder: bool = False, seed: int | None = 0) -> Encoder:
    from auricle.models.mae_ast.config import MAEASTConfig
    from auricle.models.mae_ast.encoder import MAEASTEncoder

    return MAEASTEncoder(_config(MAEASTConfig, config), through_decoder=bool(through_decoder), seed=seed)


def _mn(config: Any, *, classifier: bool = True, seed: int | None = 0) -> Encoder:
    from auricle.models.efficientat.config import MNConfig
    from auricle.models.efficientat.mn import MN

    return MN(_config(MNConfig, config), classifier=bool(classifier), seed=seed)


def _dymn(config: Any, *, classifier: bool = True, seed: int | None = 0) -> Encoder:
    from auricle.models.efficientat.config import DyMNConfig
    from auricle.models.efficientat.dymn import DyMN

    return DyMN(_config(DyMNConfig, config), classifier=bool(classifier), seed=seed)


def _logmel_stats(front_end_id: str, *, seed: int | None = None) -> Encoder:
    from auricle.models.log_mel_stats import LogMelStats

    return LogMelStats(str(front_end_id))


def _ensemble(members: list[dict[str, Any]], *, seed: int | None = 0) -> Encoder:
    from auricle.models.ensemble import Ensemble

    return Ensemble([build(member, seed=seed) for member in members])


NEWER = "; a newer version wrote this file? Update Auricle"
FAMILIES: dict[str, Callable[..., Encoder]] = {
    "m2d": _m2d,
    "mae-ast": _mae_ast,
    "mn": _mn,
    "dymn": _dymn,
    "logmel-stats": _logmel_stats,
    "ensemble": _ensemble,
}


MOST_NETWORKS, MOST_HEADS = 64, 256  # of one architecture, members of ensembles counted


def _config(kind: type, values: Any) -> Any:
    """A family's configuration from metadata of any version."""
    try:
        return from_plain(kind, values, "the architecture")
    except AuricleError as error:
        known = {f.name for f in fields(kind)}.union(getattr(kind, "OLD_NAMES", ()))
        newer = isinstance(values, dict) and values.keys() - known
        raise AuricleError(f"{error}{NEWER if newer else ''}") from None


def build(architecture: dict[str, Any], *, seed: int | None = 0) -> Encoder:
    """Build the network that ``Encoder.architecture()`` describes, with initial weights.

    Args:
        architecture: JSON values; names of settings of earlier versions are translated.
        seed: of the weights; None: they are read from a file next.

    Raises:
        AuricleError: for an unknown family, and for settings that it does not have or that are out of bounds.
    """
    _check_counts(architecture)
    settings = dict(architecture)
    family = settings.pop("family", "none")
    heads = settings.pop("heads", {})
    known = {name: p for name, p in inspect.signature(FAMILIES[family]).parameters.items() if name != "seed"}
    if unknown := settings.keys() - known.keys():
        raise AuricleError(f"the architecture holds '{min(unknown)}', which the family {family} does not have{NEWER}")
    required = [name for name, value in known.items() if value.default is inspect.Parameter.empty]
    if missing := [name for name in required if name not in settings]:
        raise AuricleError(f"the architecture does not hold '{missing[0]}', which the family {family} needs")
    encoder = FAMILIES[family](**settings, seed=seed)
    for name, head in heads.items():
        encoder = encoder.with_head(build_head(head), name=name)
    return encoder


def _check_counts(architecture: Any) -> None:
    """Raise AuricleError if an architecture is none, or has more networks or heads than anybody needs."""
    networks, heads, waiting = 0, 0, [architecture]
    while waiting:
        described = waiting.pop()
        if not isinstance(described, dict):
            raise AuricleError(f"an architecture is a mapping with a family, not {reprlib.repr(described)}")
        family, own, members = (described.get(n, d) for n, d in (("family", "none"), ("heads", {}), ("members", [])))
        if not isinstance(family, str) or family not in FAMILIES:
            raise AuricleError(f"unknown family {family!r}{nearest(str(family), tuple(FAMILIES))}{NEWER}")
        if not isinstance(own, dict) or not isinstance(members, list):
            raise AuricleError("an architecture has its heads by name, and its members in a list")
        networks, heads = networks + 1, heads + len(own)
        waiting += members
        if networks + len(waiting) > MOST_NETWORKS or heads > MOST_HEADS:
            raise AuricleError(
                f"an architecture has up to {MOST_NETWORKS} networks and {MOST_HEADS} heads, this one more"
            )


def untrained(encoder: Encoder, seed: int = 0) -> Encoder:
    """Return a network of the same architecture and statistics with random weights: the baseline of training."""
    if encoder.info.family == "ensemble":
        return _untrained_ensemble(encoder, seed)
    twin = build(encoder.architecture(), seed=seed).with_stats(*encoder.statistics())
    twin.update_info(name=f"untrained {encoder.info.name}", licence="Apache-2.0", source=f"random weights, seed {seed}")
    return twin.eval()


def _untrained_ensemble(encoder: Encoder, seed: int) -> Encoder:
    from auricle.models.ensemble import Ensemble

    assert isinstance(encoder, Ensemble)
    return Ensemble(
        [untrained(member, seed) for member in encoder.encoders], name=f"untrained {encoder.info.name}"
    ).eval()
