"""From the options of one of M2D's training programs to the settings of ``auricle pretrain`` (specification m2d 5)."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from auricle.commands.published_files import PUBLISHED
from auricle.core.errors import AuricleError
from auricle.hub.convert.m2d_names import RATES, factory_of
from auricle.hub.convert.m2d_options import AUDIOSET, GENERAL, MAE, options_of
from auricle.methods.settings import settings_of, with_flags
from auricle.models.m2d.config import FRONT_ENDS

if TYPE_CHECKING:
    from auricle.methods.settings import ViTPretrain

FORCED = (GENERAL, AUDIOSET)  # force the first epoch to 0 unless told otherwise, whatever is resumed
HOOKS = {  # scripts of the user's, in the working directory; the task sets that are shipped in their place
    "quick_eval": ("quick_eval.sh", "quick"),
    "all_eval": ("all_eval.sh", "all"),
}


@dataclass(frozen=True)
class MappedOptions:
    """config: what is run; notes: what the person should know of the difference, a sentence each."""

    config: ViTPretrain
    notes: tuple[str, ...]


def mapped(program: str, line: argparse.Namespace) -> MappedOptions:
    """Raises AuricleError for a model that the program does not train and for values that make no run."""
    factory = factory_of(line.model, program)
    check_losses(program, factory.method, line)
    config = cast("ViTPretrain", settings_of(factory.method)(factory.method, line.csv_main))
    values = {**factory.settings, **plain_values(program, line), **translated(program, line)}
    return MappedOptions(with_flags(config, values), tuple(notes(program, line, factory.method)))


def check_losses(program: str, method: str, line: argparse.Namespace) -> None:
    """Specification m2d 5.9: the general program refuses loss_off without a teacher, and m2d_x cannot do without one."""
    if program != GENERAL:
        return
    if method == "m2d-x" and not line.teacher:
        raise AuricleError("m2d_x learns from an offline teacher: say --teacher FILE")
    if line.loss_off > 0 and method != "m2d-x":
        said = "" if line.teacher else " and --teacher FILE"
        raise AuricleError(f"{line.model} has no offline loss; --loss_off {line.loss_off:g} needs an m2d_x model{said}")


def plain_values(program: str, line: argparse.Namespace) -> dict[str, Any]:
    """Options that mean the same here, by our names."""
    rows = [option for option in options_of(program) if option.ours and program not in option.unused]
    return {option.ours: getattr(line, option.name) for option in rows}


def translated(program: str, line: argparse.Namespace) -> dict[str, Any]:
    """Options that are written in another way here, and what follows from the whole."""
    rate = rate_of(getattr(line, "sr", "16k"))
    return {
        "sample_rate": rate,
        "stored_front_end": FRONT_ENDS[rate],
        "lr": line.lr or 0.0,
        "stop_at": max(0, getattr(line, "stop_at", -1)),
        "target_layers": tuple(int(number) for number in re.findall(r"-?\d+", getattr(line, "target_layers", ""))),
        "norm_targets": line.norm_pix_loss if program == MAE else not line.no_norm_pix_loss,
        "csv_bg_noise": getattr(line, "csv_bg_noise", "") if getattr(line, "noise_ratio", 0) else "",
        "norm_stats": statistics_of(line.norm_stats) if program == MAE else (),
        "start_epoch": first_epoch(program, line),
        "valid": getattr(line, "csv_val", ""),
        "min_ds_size": line.min_ds_size if program == GENERAL else 0,
        "out": line.output_dir or PUBLISHED,
        "published_files": True,
        "long_warmup": True,
        "log_interval": 1,
        "workers": workers(line.num_workers),
        **evaluations(line),
        **arithmetic(line),
    }


def rate_of(text: str) -> int:
    if text not in RATES:
        raise AuricleError(f"--sr is {' or '.join(RATES)}, not '{text}'")
    return RATES[text]


def statistics_of(text: str) -> tuple[float, ...]:
    """(mean, deviation) of "[-7.1, 4.2]"; () of "None"."""
    if text.strip() in ("", "None"):
        return ()
    try:
        return tuple(float(part) for part in text.strip(" []()").split(","))
    except ValueError:
        raise AuricleError(f"--norm_stats takes a mean and a deviation such as [-7.1,4.2], not '{text}'") from None


def first_epoch(program: str, line: argparse.Namespace) -> int:
    """Forced, else in the speech and MAE programs that of the file resumed, else as asked (specification m2d 5.5)."""
    if program in FORCED or "force_start_epoch" in line.given:
        return max(0, line.force_start_epoch)
    return epochs_in(Path(line.resume)) if line.resume else line.start_epoch


def epochs_in(checkpoint: Path) -> int:
    """How many epochs a published checkpoint has behind it; 0 where it does not say."""
    from auricle.hub.weight_file import read_pickle

    content = read_pickle(checkpoint) if checkpoint.is_file() and checkpoint.suffix in (".pth", ".pt") else {}
    return int(content.get("epoch", 0)) if isinstance(content, dict) else 0


def workers(asked: int) -> int:
    """As many as asked for, but no more than there are cores for each process; numbers do not depend on it."""
    from auricle.core.threads import available_cores

    return min(asked, max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def evaluations(line: argparse.Namespace) -> dict[str, Any]:
    """The user's scripts where they stand, else the shipped task sets where EVAR's data are; the quick one follows every
    saved checkpoint from eval_after on."""
    if not hasattr(line, "eval_after"):
        return {}
    return {**hooks(), "eval_freq": line.save_freq}


def hooks() -> dict[str, str]:
    shipped = "EVAR" in os.environ
    return {
        name: script if Path(script).is_file() else tasks
        for name, (script, tasks) in HOOKS.items()
        if shipped or Path(script).is_file()
    }


def arithmetic(line: argparse.Namespace) -> dict[str, Any]:
    """A GPU trains in half precision: float16, or bfloat16 with --bf16. A CPU takes what it is good at."""
    import torch

    if not line.device.startswith("cuda") or not torch.cuda.is_available():
        return {"device": "cpu" if line.device.startswith("cuda") else line.device, "precision": "auto"}
    device = "auto" if line.device == "cuda" else line.device
    return {"device": device, "precision": "bf16" if getattr(line, "bf16", False) else "fp16"}


def notes(program: str, line: argparse.Namespace, method: str) -> Iterator[str]:
    import torch

    if line.device.startswith("cuda") and not torch.cuda.is_available():
        yield "--device cuda: PyTorch sees no GPU here, the run is on the CPU"
    if method in ("m2d", "m2d-x", "m2d-d2v") and line.noise_ratio > 0:
        yield "the student hears the noise; as the published program does it, the teacher: -- --noise-on teacher"
    if program in FORCED and line.start_epoch and "force_start_epoch" not in line.given:
        yield f"--start_epoch {line.start_epoch} is overridden by --force_start_epoch 0, as in the original; say that one"
    if program not in FORCED and line.resume:
        yield "--resume: weights and epoch are taken, the optimiser begins anew"
    if hasattr(line, "eval_after"):
        found = hooks()
        yield (
            f"measured on the way: {' and '.join(found.values())}"
            if found
            else "nothing is measured on the way: no quick_eval.sh and all_eval.sh here, and no EVAR=<folder of EVAR's data>"
        )
