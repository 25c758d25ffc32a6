"""The options of M2D's four training programs: a table of them (specification m2d 5.1), and the parser of a line.

An option that has no effect here is accepted with a note; one that the original does not know is refused with the nearest
name. PyTorch is not imported here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from auricle.core.errors import AuricleError, nearest

GENERAL, AUDIOSET, SPEECH, MAE = PROGRAMS = ("train_audio", "train_as", "train_speech", "mae_train_audio")
ABSENT = object()  # a program that does not have the option


@dataclass(frozen=True)
class Option:
    """One option.

    name      as the original writes it, without the dashes; spellings: other names of the same
    kind      int, float, str, or bool for a switch that takes no value
    default   of the general program; others: by program where it differs (ABSENT: the program lacks it)
    ours      the field of our settings that means the same and takes the same values
    unused    programs in which it has no effect here; note: the reason
    """

    name: str
    kind: type
    default: Any
    others: dict[str, Any] = field(default_factory=dict)
    ours: str = ""
    unused: tuple[str, ...] = ()
    note: str = ""
    spellings: tuple[str, ...] = ()

    def default_of(self, program: str) -> Any:
        """Return the default in one program; ABSENT if the program does not have the option."""
        return self.others.get(program, self.default)


def _without(*programs: str) -> dict[str, Any]:
    return dict.fromkeys(programs, ABSENT)


_LAUNCH = "torchrun sets the number of processes and the rank of this one"

OPTIONS = (
    # ---- length of the run, and what is saved and measured on the way
    Option("batch_size", int, 512, ours="batch_size"),
    Option("epochs", int, 300, {SPEECH: 1000, MAE: 200}, ours="epochs"),
    Option("accum_iter", int, 1, ours="accum_iter"),
    Option("eval_after", int, 50, {SPEECH: 500, **_without(MAE)}, ours="eval_after"),
    Option("save_freq", int, 100, {SPEECH: 500, MAE: 50}, ours="save_freq"),
    Option("feature_eval_freq", int, 10, _without(SPEECH, MAE), ours="feature_eval_freq"),
    Option("eval_freq", int, 10, _without(GENERAL, AUDIOSET, MAE), ours="feature_eval_freq"),
    Option("stop_at", int, -1, _without(MAE)),
    # ---- the network
    Option(
        "model", str, "m2d_vit_base", {AUDIOSET: "m2d_as_vit_base", SPEECH: "m2d_s_vit_base", MAE: "msm_mae_vit_base"}
    ),
    Option(
        "decoder_depth",
        int,
        8,
        ours="decoder_depth",
        unused=(MAE,),
        note="MSM-MAE's decoder has 4 blocks, whatever is asked for",
    ),
    Option("input_size", str, "80x608", {SPEECH: "80x208", MAE: "80x208"}, ours="input_size"),
    Option(
        "patch_size",
        str,
        "16x16",
        {SPEECH: "80x4"},
        ours="patch_size",
        unused=(MAE,),
        note="mae_train_audio cuts 16x16 patches, whatever is asked for",
    ),
    Option("sr", str, "16k", _without(SPEECH, MAE)),
    # ---- what is learnt
    Option("mask_ratio", float, 0.7, {SPEECH: 0.6, MAE: 0.75}, ours="mask_ratio"),
    Option("ema_decay_init", float, 0.99995, _without(MAE), ours="ema_decay_init"),
    Option("ema_decay", float, 0.99999, _without(MAE), ours="ema_decay"),
    Option("loss_fn", str, "norm_mse", _without(MAE), ours="loss_fn"),
    Option("loss_m2d", float, 1.0, _without(MAE), ours="loss_m2d"),
    Option("loss_off", float, 0.0, {AUDIOSET: 0.1, **_without(MAE)}, ours="loss_off"),
    Option("target_layers", str, "", _without(MAE)),
    Option("bf16", bool, False, _without(SPEECH, MAE)),
    Option(
        "teacher",
        str,
        "",
        _without(SPEECH, MAE),
        ours="teacher",
        unused=(AUDIOSET,),
        note="the labels are the second target of train_as; the original ignores it too",
    ),
    Option("no_norm_pix_loss", bool, False, _without(MAE)),
    Option("norm_pix_loss", bool, False, _without(GENERAL, AUDIOSET, SPEECH)),
    Option("cont_mask", int, 0, _without(MAE), ours="cont_mask"),
    # ---- optimisation
    Option("weight_decay", float, 0.05, ours="weight_decay"),
    Option("clip_grad", float, 3.0, ours="clip_grad"),
    Option("optim", str, "adamw", ours="optim"),
    Option("lr", float, None, ours="lr"),
    Option("blr", float, 3e-4, ours="blr"),
    Option("min_lr", float, 0.0, ours="min_lr"),
    Option("warmup_epochs", int, 20, {SPEECH: 60}, ours="warmup_epochs"),
    # ---- data
    Option("data_path", str, "data", ours="data_path"),
    Option(
        "csv_main",
        str,
        "data/files_audioset.csv",
        {AUDIOSET: "data/files_as_weighted.csv", SPEECH: "data/files_ls960_hybrid.csv"},
        spellings=("dataset",),
    ),
    Option("csv_bg_noise", str, "", {SPEECH: "data/files_audioset.csv", **_without(MAE)}),
    Option("csv_val", str, "", _without(MAE)),
    Option(
        "min_ds_size",
        int,
        10000,
        _without(SPEECH, MAE),
        ours="min_ds_size",
        unused=(AUDIOSET,),
        note="the original ignores it in train_as too",
    ),
    Option(
        "norm_stats",
        str,
        "None",
        unused=(GENERAL, AUDIOSET, SPEECH),
        note="the statistics are measured on the data; the original ignores it too",
    ),
    Option("noise_ratio", float, 0.0, {SPEECH: 0.2, **_without(MAE)}, ours="noise_ratio"),
    Option(
        "swap_inputs",
        bool,
        False,
        _without(GENERAL, AUDIOSET, MAE),
        unused=(SPEECH,),
        note="it has no effect in the original either",
    ),
    Option("num_workers", int, 8, {MAE: 10}, ours="workers"),
    # ---- where and how it runs
    Option("output_dir", str, "", ours="out"),
    Option("log_dir", str, "", unused=PROGRAMS, note="logs stand in the run folder"),
    Option("device", str, "cuda"),
    Option("seed", int, 0, ours="seed"),
    Option("resume", str, "", ours="resume"),
    Option("start_epoch", int, 0),
    Option("force_start_epoch", int, 0, {SPEECH: -1}),
    Option("pin_mem", bool, False, unused=PROGRAMS, note="batches are pinned where there is a GPU"),
    Option("no_pin_mem", bool, False, unused=PROGRAMS, note="batches are pinned where there is a GPU"),
    Option("world_size", int, 1, unused=PROGRAMS, note=_LAUNCH),
    Option("local-rank", int, -1, unused=PROGRAMS, note=_LAUNCH, spellings=("local_rank",)),
    Option("dist_on_itp", bool, False, unused=PROGRAMS, note=_LAUNCH),
    Option("dist_url", str, "env://", unused=PROGRAMS, note=_LAUNCH),
)


def options_of(program: str) -> tuple[Option, ...]:
    """Return the options of one program."""
    return tuple(option for option in OPTIONS if option.default_of(program) is not ABSENT)


def defaults_of(program: str) -> dict[str, Any]:
    """Return the defaults of one program by name."""
    return {option.name: option.default_of(program) for option in options_of(program)}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are AuricleErrors."""

    def __init__(self, program: str, **how: Any):
        super().__init__(prog=f"auricle original m2d {program}", allow_abbrev=False, **how)

    def error(self, message: str) -> NoReturn:
        raise AuricleError(f"{self.prog}: {message}")


def parsed(program: str, words: Sequence[str]) -> argparse.Namespace:
    """Parse the options of a line over the program's defaults; ``given`` holds the names that the line contains.

    Raises AuricleError for an unknown option and an invalid value.
    """
    parser = _parser(program)
    values, unknown = parser.parse_known_args(list(words))
    if unknown:
        raise AuricleError(_unknown(unknown[0], program))
    given = frozenset(vars(values))
    for option in options_of(program):
        if not hasattr(values, _dest(option)):
            setattr(values, _dest(option), option.default_of(program))
    values.given = given
    return values


def without_effect(values: argparse.Namespace, program: str) -> Iterator[str]:
    """Yield one sentence for every option of the line that changes nothing here, with the reason."""
    for option in options_of(program):
        if program in option.unused and _dest(option) in values.given:
            yield f"--{option.name} changes nothing here: {option.note}"


def _parser(program: str) -> Parser:
    parser = Parser(program, argument_default=argparse.SUPPRESS)
    for option in options_of(program):
        how: dict[str, Any] = {"action": "store_true"} if option.kind is bool else {"type": option.kind}
        parser.add_argument(*_spellings(option), dest=_dest(option), help=_meaning(option, program), **how)
    return parser


def _meaning(option: Option, program: str) -> str:
    if program in option.unused:
        return option.note
    ours = f"auricle pretrain --{option.ours.replace('_', '-')}; " if option.ours else ""
    return f"{ours}default: {option.default_of(program)}"


def _spellings(option: Option) -> list[str]:
    """``--batch_size`` and ``--batch-size``."""
    names = [option.name, *option.spellings]
    return list(dict.fromkeys(f"--{text}" for name in names for text in (name, name.replace("_", "-"))))


def _dest(option: Option) -> str:
    return option.name.replace("-", "_")


def _unknown(word: str, program: str) -> str:
    if not word.startswith("-"):
        return f"{program} takes options only, not '{word}'"
    name = word.split("=")[0].lstrip("-").replace("-", "_")
    known = tuple(option.name for option in options_of(program))
    if name not in known and name in {option.name for option in OPTIONS}:
        return f"{program} has no --{name}; the original has it in other programs only"
    return f"{program} has no option --{name}{nearest(name, known)}"
