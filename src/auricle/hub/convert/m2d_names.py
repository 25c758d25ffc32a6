"""The names under which M2D's programs build networks, such as ``m2d_x_vit_base`` (specification m2d 2.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from auricle.core.errors import AuricleError, nearest
from auricle.hub.convert.m2d_options import AUDIOSET, GENERAL, MAE, SPEECH


class Family(NamedTuple):
    """Which method of ours it is, and which program trains it."""

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
# of mae_vit_base: M2D's decoder, not MSM-MAE's
MAE_DECODER = {"decoder_embed_dim": 512, "decoder_depth": 8, "decoder_num_heads": 16}
NAMES = tuple(
    f"{family}_vit_{size}" for family in FAMILIES for size in SIZES if size == "base" or family not in (*SINGLE, "mae")
)


class Factory(NamedTuple):
    """What a name says: our method, and those of its settings that the name decides."""

    method: str
    settings: dict[str, int]


def factory_of(name: str, program: str) -> Factory:
    """Raises AuricleError for an unknown name, for M2D-CLAP, and for a network that another program trains."""
    if name.startswith("m2d_clap"):
        raise AuricleError(
            f"{name}: M2D-CLAP is not trained here; its published checkpoints load as plain encoders (auricle.load FILE)"
        )
    if name.endswith("_encoder_only"):
        raise AuricleError(f"{name} is for inference; to pre-train say {name.removesuffix('_encoder_only')}")
    if name not in NAMES:
        raise AuricleError(f"unknown model '{name}'{nearest(name, NAMES)}")
    prefix, size = name.rsplit("_vit_", 1)
    family = FAMILIES[prefix]
    if family.program != program and (prefix, program) != ("m2d", SPEECH):
        raise AuricleError(f"{name} is trained by {family.program}, not by {program}")
    return Factory(family.method, {**SIZES[size]._asdict(), **(MAE_DECODER if prefix == "mae" else {})})


def factory_name(method: str, width: int, depth: int) -> str:
    """The original's name of a network: "m2d_vit_base"; a size it does not know is spelt out: "m2d_vit_384x6"."""
    prefix = next(prefix for prefix, family in FAMILIES.items() if family.method == method)
    known = {size: name for name, size in SIZES.items()}
    return f"{prefix}_vit_{known.get(Size(width, depth), f'{width}x{depth}')}"


def program_of(method: str) -> str | None:
    """The original program that trains a method of ours; None where it is not one of M2D's."""
    return next((family.program for family in FAMILIES.values() if family.method == method), None)


# What M2D's folder names say (specification m2d 6.1): sizes and sample rate, which its weight files do not hold.

RATES = {"16k": 16000, "32k": 32000}
SIZE = re.compile(r"\d+x\d+")


@dataclass(frozen=True)
class PublishedName:
    """What a folder name such as ``m2d_vit_base-80x608p16x16p16k-221006-mr7`` says (specification m2d 6.1).

    extras are what follows the sample rate (M2D-CLAP names its text encoder there).
    """

    model: str
    input_size: str
    patch_size: str
    sample_rate: int
    extras: tuple[str, ...] = ()


def parse_name(text: str) -> PublishedName | None:
    """None where the name does not follow the rule. Raises AuricleError for a sample rate that M2D does not have."""
    model, *rest = text.split("-")
    sizes = rest[0].split("p") if rest else []
    if len(sizes) < 2 or not all(SIZE.fullmatch(size) for size in sizes[:2]):
        return None
    rate = sizes[2] if len(sizes) > 2 else "16k"
    if rate not in RATES:
        raise AuricleError(f"'{text}' names the sample rate '{rate}'; M2D has {' and '.join(RATES)}")
    return PublishedName(model, sizes[0], sizes[1], RATES[rate], tuple(sizes[3:]))


def folder_name(input_size: str, patch_size: str, sample_rate: int, model: str = "m2d_vit_base") -> str:
    """The beginning of a folder name that M2D's own loaders understand: "m2d_vit_base-80x608p16x16p16k"."""
    return f"{model}-{input_size}p{patch_size}p{sample_rate // 1000}k"
