"""The families of encoders, and how to build a network from the architecture in a file's metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import from_plain
from auricle.models.base import Encoder
from auricle.models.heads import build_head


def _m2d(config: dict[str, Any], *, head: dict[str, Any] | None = None, **options: Any) -> Encoder:
    from auricle.models.m2d.config import M2DHeadConfig, ViTConfig
    from auricle.models.m2d.encoder import M2DEncoder

    return M2DEncoder(_config(ViTConfig, config), head=None if head is None else M2DHeadConfig(**head), **options)


def _mae_ast(config: dict[str, Any], **options: Any) -> Encoder:
    from auricle.models.mae_ast.config import MAEASTConfig
    from auricle.models.mae_ast.encoder import MAEASTEncoder

    return MAEASTEncoder(_config(MAEASTConfig, config), **options)


def _mn(config: dict[str, Any], **options: Any) -> Encoder:
    from auricle.models.efficientat.config import MNConfig
    from auricle.models.efficientat.mn import MN

    return MN(_config(MNConfig, config), **options)


def _dymn(config: dict[str, Any], **options: Any) -> Encoder:
    from auricle.models.efficientat.config import DyMNConfig
    from auricle.models.efficientat.dymn import DyMN

    return DyMN(_config(DyMNConfig, config), **options)


def _logmel_stats(front_end_id: str, seed: int | None = None) -> Encoder:
    from auricle.models.log_mel_stats import LogMelStats

    return LogMelStats(front_end_id)


def _ensemble(members: list[dict[str, Any]], **options: Any) -> Encoder:
    from auricle.models.ensemble import Ensemble

    return Ensemble([build(member, **options) for member in members])


FAMILIES: dict[str, Callable[..., Encoder]] = {
    "m2d": _m2d,
    "mae-ast": _mae_ast,
    "mn": _mn,
    "dymn": _dymn,
    "logmel-stats": _logmel_stats,
    "ensemble": _ensemble,
}


def _config(kind: type, values: dict[str, Any]) -> Any:
    """A family's configuration from metadata of any version."""
    return from_plain(kind, values, "the architecture")


def build(architecture: dict[str, Any], **options: Any) -> Encoder:
    """Build the network that ``Encoder.architecture()`` describes, with initial weights.

    Args:
        architecture: JSON values; names of settings of earlier versions are translated.
        options: arguments of the family's class, such as ``seed`` (None: weights are read from a file next).

    Raises:
        AuricleError: for an unknown family.
    """
    settings = dict(architecture)
    family = settings.pop("family", "none")
    if family not in FAMILIES:
        raise AuricleError(
            f"unknown family '{family}'{nearest(family, tuple(FAMILIES))}; a newer version wrote this file?"
        )
    heads = settings.pop("heads", {})
    encoder = FAMILIES[family](**settings, **options)
    for name, head in heads.items():
        encoder = encoder.with_head(build_head(head), name=name)
    return encoder


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
