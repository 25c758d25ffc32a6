"""Translate the options of M2D's training programs to the settings of ``auricle pretrain``.

Source: [m2d 5](docs/specification/m2d.md#s5).
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from auricle.compat.m2d.names import factory_of
from auricle.compat.m2d.options import AUDIOSET, GENERAL, MAE, options_of
from auricle.compat.m2d.published_files import PUBLISHED
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.hub.convert.m2d_names import RATES
from auricle.methods.registry import find_method
from auricle.models.m2d.config import front_end_of

if TYPE_CHECKING:
    from auricle.methods.m2d.config import ViTPretrain

FORCED = (GENERAL, AUDIOSET)  # programs that start at epoch 0 unless --force_start_epoch is set, also with --resume
HOOKS = {  # (script of the user in the working directory, task set that replaces it)
    "quick_eval": ("quick_eval.sh", "quick"),
    "all_eval": ("all_eval.sh", "all"),
}


@dataclass(frozen=True)
class MappedOptions:
    """Translated options.

    Attributes:
        config: settings of the run.
        notes: differences from the original, one sentence each.
    """

    config: ViTPretrain
    notes: tuple[str, ...]


def map_options(program: str, line: argparse.Namespace) -> MappedOptions:
    """Translate parsed options.

    Raises:
        AuricleError: for a model that the program does not train, and for invalid values.
    """
    factory = factory_of(line.model, program)
    check_losses(program, factory.method, line)
    config = cast("ViTPretrain", find_method(factory.method).settings(factory.method, line.csv_main))
    values = {**factory.settings, **same_settings(program, line), **translated_settings(program, line)}
    return MappedOptions(with_values(config, values), tuple(notes(program, line, factory.method)))


def check_losses(program: str, method: str, line: argparse.Namespace) -> None:
    """Raise AuricleError if the general program lacks the teacher that the loss needs.

    Source: [m2d 5.9](docs/specification/m2d.md#s5-9).
    """
    if program != GENERAL:
        return
    if method == "m2d-x" and not line.teacher:
        raise AuricleError("m2d_x needs an offline teacher: add --teacher FILE")
    if line.loss_off > 0 and method != "m2d-x":
        teacher = "" if line.teacher else " and --teacher FILE"
        raise AuricleError(
            f"{line.model} has no offline loss; --loss_off {line.loss_off:g} needs an m2d_x model{teacher}"
        )


def same_settings(program: str, line: argparse.Namespace) -> dict[str, Any]:
    """Return the options that have the same meaning in Auricle, by Auricle's names."""
    rows = [option for option in options_of(program) if option.ours and program not in option.unused]
    return {option.ours: getattr(line, option.name) for option in rows}


def translated_settings(program: str, line: argparse.Namespace) -> dict[str, Any]:
    """Return the options that have another form in Auricle, and the settings that depend on several options."""
    rate = rate_of(getattr(line, "sr", "16k"))
    return {
        "sample_rate": rate,
        "stored_front_end": front_end_of(rate, line.input_size),
        "lr": line.lr or None,
        "stop_at": stop if (stop := getattr(line, "stop_at", -1)) > 0 else None,
        "target_layers": tuple(int(number) for number in re.findall(r"-?\d+", getattr(line, "target_layers", ""))),
        "norm_targets": line.norm_pix_loss if program == MAE else not line.no_norm_pix_loss,
        "csv_bg_noise": (getattr(line, "csv_bg_noise", "") or None) if getattr(line, "noise_ratio", 0) else None,
        "norm_stats": statistics_of(line.norm_stats) if program == MAE else (),
        "start_epoch": first_epoch(program, line),
        "valid": getattr(line, "csv_val", "") or None,
        "min_ds_size": line.min_ds_size if program == GENERAL else 0,
        "out": line.output_dir or PUBLISHED,
        "published_files": True,
        "long_warmup": True,
        "log_interval": 1,
        "workers": workers(line.num_workers),
        **evaluations(line),
        **precision_and_device(line),
    }


def rate_of(text: str) -> int:
    if text not in RATES:
        raise AuricleError(f"--sr is {' or '.join(RATES)}, not '{text}'")
    return RATES[text]


def statistics_of(text: str) -> tuple[float, ...]:
    """Return (mean, standard deviation) of "[-7.1, 4.2]"; () of "None"."""
    if text.strip() in ("", "None"):
        return ()
    try:
        return tuple(float(part) for part in text.strip(" []()").split(","))
    except ValueError:
        raise AuricleError(
            f"--norm_stats takes a mean and a standard deviation such as [-7.1,4.2], not '{text}'"
        ) from None


def first_epoch(program: str, line: argparse.Namespace) -> int:
    """Return the first epoch ([m2d 5.5](docs/specification/m2d.md#s5-5)).

    It is ``force_start_epoch``; in the speech and MAE programs it is that of the resumed file, else ``start_epoch``.
    """
    if program in FORCED or "force_start_epoch" in line.set_on_line:
        return max(0, line.force_start_epoch)
    return epochs_in(Path(line.resume)) if line.resume else line.start_epoch


def epochs_in(checkpoint: Path) -> int:
    """Return the number of epochs that a published checkpoint was trained for; 0 if the file does not state it."""
    from auricle.hub.pickles import read_pickle

    content = read_pickle(checkpoint) if checkpoint.is_file() and checkpoint.suffix in (".pth", ".pt") else {}
    return int(content.get("epoch", 0)) if isinstance(content, dict) else 0


def workers(requested: int) -> int:
    """Return the number of workers, limited to the cores of each process. It does not affect the results."""
    from auricle.core.devices import available_cores

    return min(requested, max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def evaluations(line: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the evaluations: the user's scripts, or task sets of Auricle if EVAR's data exist.

    The quick evaluation runs after every saved checkpoint from eval_after on.
    """
    if not hasattr(line, "eval_after"):
        return {}
    return {**hooks(), "eval_freq": line.save_freq}


def hooks() -> dict[str, str]:
    has_evar = "EVAR" in os.environ
    return {
        name: script if Path(script).is_file() else tasks
        for name, (script, tasks) in HOOKS.items()
        if has_evar or Path(script).is_file()
    }


def precision_and_device(line: argparse.Namespace) -> dict[str, Any]:
    """Return device and precision: float16 on a GPU, or bfloat16 with --bf16; on a CPU "auto"."""
    import torch

    if not line.device.startswith("cuda") or not torch.cuda.is_available():
        return {"device": "cpu" if line.device.startswith("cuda") else line.device, "precision": "auto"}
    device = "auto" if line.device == "cuda" else line.device
    return {"device": device, "precision": "bf16" if getattr(line, "bf16", False) else "fp16"}


def notes(program: str, line: argparse.Namespace, method: str) -> Iterator[str]:
    """Yield one sentence for every difference from the original."""
    import torch

    if line.device.startswith("cuda") and not torch.cuda.is_available():
        yield "--device cuda: there is no GPU, so the run uses the CPU"
    if method in ("m2d", "m2d-x", "m2d-d2v") and line.noise_ratio > 0:
        yield "the student's input gets the noise; the published program adds it to the teacher's: -- --noise-on teacher"
    if program in FORCED and line.start_epoch and "force_start_epoch" not in line.set_on_line:
        yield f"--start_epoch {line.start_epoch} is overridden by --force_start_epoch 0, as in the original"
    if program not in FORCED and line.resume:
        yield "--resume: weights and epoch are loaded, the optimiser starts from scratch"
    if hasattr(line, "eval_after"):
        evaluations = hooks()
        yield (
            f"evaluations during training: {' and '.join(evaluations.values())}"
            if evaluations
            else "no evaluations during training: there is no quick_eval.sh or all_eval.sh, and the variable EVAR is not set"
        )
