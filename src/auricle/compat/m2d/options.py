"""The options of M2D's four training programs ([m2d 5.1](docs/specification/m2d.md#s5-1)), and the parser of their command lines.

Options without effect are accepted with a note. For an unknown option, the error suggests a similar one. This module does
not import PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from auricle.compat.lines import LineParser
from auricle.core.errors import AuricleError, nearest

GENERAL, AUDIOSET, SPEECH, MAE = PROGRAMS = ("train_audio", "train_as", "train_speech", "mae_train_audio")
ABSENT = object()  # the program does not have the option


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: name in the original, without dashes.
        kind: int, float, str, or bool for a flag without a value.
        default: default of the general program.
        others: other defaults, by program (ABSENT: the program lacks the option).
        ours: the setting of ``auricle pretrain`` with the same meaning and values; "" if there is none.
        unused: programs in which the option has no effect.
        note: the reason why it has no effect.
        spellings: other names of the option.
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
    # ---- length of the run, checkpoints and evaluations
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
        note="MSM-MAE's decoder always has 4 blocks",
    ),
    Option("input_size", str, "80x608", {SPEECH: "80x208", MAE: "80x208"}, ours="input_size"),
    Option(
        "patch_size",
        str,
        "16x16",
        {SPEECH: "80x4"},
        ours="patch_size",
        unused=(MAE,),
        note="mae_train_audio always uses 16x16 patches",
    ),
    Option("sr", str, "16k", _without(SPEECH, MAE)),
    # ---- objective
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
        note="train_as uses the labels as the second target; the original ignores it too",
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
    # ---- output, device and start
    Option("output_dir", str, "", ours="out"),
    Option("log_dir", str, "", unused=PROGRAMS, note="logs are in the run folder"),
    Option("device", str, "cuda"),
    Option("seed", int, 0, ours="seed"),
    Option("resume", str, "", ours="resume"),
    Option("start_epoch", int, 0),
    Option("force_start_epoch", int, 0, {SPEECH: -1}),
    Option("pin_mem", bool, False, unused=PROGRAMS, note="batches are pinned if there is a GPU"),
    Option("no_pin_mem", bool, False, unused=PROGRAMS, note="batches are pinned if there is a GPU"),
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


def parse_options(program: str, args: Sequence[str]) -> argparse.Namespace:
    """Parse the options of a program.

    Returns:
        Namespace: values by name; ``set_on_line`` holds the names of the options that the line contains.

    Raises:
        AuricleError: for an unknown option or an invalid value.
    """
    parser = _parser(program)
    values, unknown = parser.parse_known_args(list(args))
    if unknown:
        raise AuricleError(_unknown(unknown[0], program))
    set_on_line = frozenset(vars(values))
    for option in options_of(program):
        if not hasattr(values, _dest(option)):
            setattr(values, _dest(option), option.default_of(program))
    values.set_on_line = set_on_line
    return values


def without_effect(values: argparse.Namespace, program: str) -> Iterator[str]:
    """Yield one sentence for every option of the line that has no effect, with the reason."""
    for option in options_of(program):
        if program in option.unused and _dest(option) in values.set_on_line:
            yield f"--{option.name} has no effect: {option.note}"


def _parser(program: str) -> LineParser:
    parser = LineParser(f"auricle original m2d {program}", argument_default=argparse.SUPPRESS)
    for option in options_of(program):
        kwargs: dict[str, Any] = {"action": "store_true"} if option.kind is bool else {"type": option.kind}
        parser.add_argument(*_spellings(option), dest=_dest(option), help=_help(option, program), **kwargs)
    return parser


def _help(option: Option, program: str) -> str:
    if program in option.unused:
        return option.note
    ours = f"auricle pretrain --{option.ours.replace('_', '-')}; " if option.ours else ""
    return f"{ours}default: {option.default_of(program)}"


def _spellings(option: Option) -> list[str]:
    """Return the spellings of an option: ``--batch_size`` and ``--batch-size``."""
    names = [option.name, *option.spellings]
    return list(dict.fromkeys(f"--{text}" for name in names for text in (name, name.replace("_", "-"))))


def _dest(option: Option) -> str:
    return option.name.replace("-", "_")


def _unknown(arg: str, program: str) -> str:
    if not arg.startswith("-"):
        return f"{program} accepts options only, not '{arg}'"
    name = arg.split("=")[0].lstrip("-").replace("-", "_")
    known = tuple(option.name for option in options_of(program))
    if name not in known and name in {option.name for option in OPTIONS}:
        return f"{program} has no --{name}; only other programs have it"
    return f"{program} has no option --{name}{nearest(name, known)}"
