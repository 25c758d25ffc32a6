"""Names of networks in M2D's programs, such as ``m2d_x_vit_base`` ([m2d 2.6](docs/specification/m2d.md#s2-6))."""

from __future__ import annotations

from typing import NamedTuple

from auricle.compat.m2d.options import AUDIOSET, GENERAL, MAE, SPEECH
from auricle.core.errors import AuricleError, nearest


class Family(NamedTuple):
    """Auricle's name of a method, and the program of the original that trains it."""

    method: str
    program: str


class Size(NamedTuple):
    embed_dim: int
    depth: int


FAMILIES = {
    "m2d": Family("m2d", GENERAL),
    "m2d_x": Family("m2d-x", GENERAL),
    "m2d_d2v": Family("m2d-d2v", GENERAL),
    "m2d_as": Family("m2d-as", AUDIOSET),
    "m2d_s": Family("m2d-s", SPEECH),
    "msm_mae": Family("msm-mae", MAE),
    "mae": Family("msm-mae", MAE),
}
SIZES = {"base": Size(768, 12), "large": Size(1024, 24)}
SINGLE = ("m2d_s", "m2d_d2v")  # published in the size "base" only
MAE_DECODER = {
    "decoder_embed_dim": 512,
    "decoder_depth": 8,
    "decoder_num_heads": 16,
}  # of mae_vit_base: M2D's, not MSM-MAE's
NAMES = tuple(
    f"{family}_vit_{size}" for family in FAMILIES for size in SIZES if size == "base" or family not in (*SINGLE, "mae")
)


class Factory(NamedTuple):
    """Auricle's method for a model name, and the settings that the name determines."""

    method: str
    settings: dict[str, int]


def factory_of(name: str, program: str) -> Factory:
    """Return the method and settings of a model name.

    Raises:
        AuricleError: for an unknown name, for M2D-CLAP, and for a network that another program trains.
    """
    if name.startswith("m2d_clap"):
        raise AuricleError(
            f"{name}: Auricle does not train M2D-CLAP; its published checkpoints load as plain encoders (auricle.load FILE)"
        )
    if name.endswith("_encoder_only"):
        raise AuricleError(f"{name} is for inference; to pre-train use {name.removesuffix('_encoder_only')}")
    if name not in NAMES:
        raise AuricleError(f"unknown model '{name}'{nearest(name, NAMES)}")
    prefix, size = name.rsplit("_vit_", 1)
    family = FAMILIES[prefix]
    if family.program != program and (prefix, program) != ("m2d", SPEECH):
        raise AuricleError(f"{name} is trained by {family.program}, not by {program}")
    return Factory(family.method, {**SIZES[size]._asdict(), **(MAE_DECODER if prefix == "mae" else {})})


def factory_name(method: str, embed_dim: int, depth: int) -> str:
    """Return the original's name of a network, such as "m2d_vit_base"; for other sizes such as "m2d_vit_384x6"."""
    prefix = next(prefix for prefix, family in FAMILIES.items() if family.method == method)
    known = {size: name for name, size in SIZES.items()}
    return f"{prefix}_vit_{known.get(Size(embed_dim, depth), f'{embed_dim}x{depth}')}"


def program_of(method: str) -> str | None:
    """Return the original program that trains a method; None if M2D does not have the method."""
    return next((family.program for family in FAMILIES.values() if family.method == method), None)
