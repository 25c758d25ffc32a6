"""Names in M2D's programs: of networks, such as ``m2d_x_vit_base`` ([m2d 2.6](docs/specification/m2d.md#s2-6)), and of run
folders: sizes, date, and a tag for every option that differs from its default ([m2d 5.6](docs/specification/m2d.md#s5-6)).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from auricle.compat.m2d.options import AUDIOSET, GENERAL, MAE, SPEECH, defaults_of
from auricle.core.errors import AuricleError, nearest


class MethodName(NamedTuple):
    """Auricle's name of a method, and the program of the original that trains it."""

    method: str
    program: str


class Size(NamedTuple):
    embed_dim: int
    depth: int


FAMILIES = {
    "m2d": MethodName("m2d", GENERAL),
    "m2d_x": MethodName("m2d-x", GENERAL),
    "m2d_d2v": MethodName("m2d-d2v", GENERAL),
    "m2d_as": MethodName("m2d-as", AUDIOSET),
    "m2d_s": MethodName("m2d-s", SPEECH),
    "msm_mae": MethodName("msm-mae", MAE),
    "mae": MethodName("msm-mae", MAE),
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


DEFAULT_BATCH = 2048  # effective batch without a tag


def number(value: Any) -> str:
    """Format a number as M2D does: 0.3 -> ".3", 1.0 -> "1", 0.01 -> "01"."""
    return str(value).replace(".0", "").replace("0.", ".")


def initials(path: str) -> str:
    """Return the first letters of the parts of a path: data/files_icbhi2017.csv -> "dfi"."""
    return "".join(part[0] for part in re.split("[_/]", path) if part)


def _initial(text: str) -> str:
    return text[:1]


TAGS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("M", "csv_main", initials),
    ("D", "csv_bg_noise", initials),
    ("ema", "ema_decay_init", number),
    ("ed", "ema_decay", number),
    ("dd", "decoder_depth", number),
    ("mr", "mask_ratio", number),
    ("s", "seed", number),
    ("~N", "no_norm_pix_loss", lambda on: ""),
    ("N", "norm_pix_loss", lambda on: ""),
    ("L", "loss_fn", _initial),
    ("O", "optim", _initial),
    ("wu", "warmup_epochs", number),
    ("blr", "blr", number),
    ("lr", "lr", number),
    ("bs", "effective_batch", number),
    ("a", "accum_iter", number),
    ("lm", "loss_m2d", number),
    ("lo", "loss_off", number),
    ("nr", "noise_ratio", number),
    ("dn", "min_ds_size", number),
    ("C", "cont_mask", number),
)


def run_folder_name(program: str, settings: Mapping[str, Any], *, date: str, processes: int = 1) -> str:
    """Return the folder name of a run, such as ``m2d_x_vit_base-80x200p16x4p16k-240514-Mdfis6bs128a2lo1nr.3-e600``.

    Args:
        program: a training program of the original.
        settings: values by the original's option names; default: those of the program.
        date: YYMMDD.
        processes: number of processes; the batch in the name is that of one weight update over all of them.
    """
    options = {**defaults_of(program), **settings}
    batch = options["batch_size"] * options["accum_iter"] * processes
    rate = "" if program in (SPEECH, MAE) else f"p{options['sr']}"
    sizes = f"{options['input_size']}p{options['patch_size']}{rate}"
    default = {**defaults_of(program), "effective_batch": DEFAULT_BATCH}
    values = {**options, "effective_batch": batch}
    tags = "".join(
        f"{tag}{format_value(values[name])}"
        for tag, name, format_value in TAGS
        if name in default and values[name] is not None and values[name] != default[name]
    )
    return f"{options['model']}-{sizes}-{date}-{tags}-e{options['epochs']}"
