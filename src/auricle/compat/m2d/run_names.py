"""Name a run folder as M2D does: sizes, date, and a tag for every option that differs from its default.

Source: [m2d 5.6](docs/specification/m2d.md#s5-6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from auricle.compat.m2d.options import MAE, SPEECH, defaults_of

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
