"""The options of EfficientAT's training programs in both generations, and the parser of their command lines.

Names and defaults are the originals' ([efficientat_training 2](docs/specification/efficientat_training.md#s2)). Generation
2023 names weights by ``--pretrained_name NAME``, generation 2024 by ``--pretrained --model_name NAME``; the options of a line
decide which one it is. This module does not import PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auricle.compat.lines import LineParser
from auricle.core.errors import AuricleError, nearest

GENERATIONS = (2023, 2024)
NEWEST = 2024
PROGRAMS = ("ex_audioset", "ex_pl_audioset", "ex_dcase20", "ex_fsd50k", "ex_esc50", "ex_openmic")

# ---- kinds: a flag is bool, options of several values are (type, number of values)

KINDS: dict[str, Any] = {
    **dict.fromkeys(("experiment_name", "cache_path", "model_name", "pretrained_name", "head_type", "se_dims"), str),
    **dict.fromkeys(("teacher_preds", "fname_to_index"), str),
    **dict.fromkeys(("train", "cuda", "pretrained", "variable_eval_length", "adamw"), bool),
    **dict.fromkeys(("roll", "no_roll", "wavmix", "no_wavmix"), bool),
    **dict.fromkeys(("batch_size", "num_workers", "n_epochs", "epoch_len", "fold", "num_devices", "precision"), int),
    **dict.fromkeys(("warm_up_len", "ramp_down_start", "ramp_down_len", "freqm", "timem", "fmin", "fmax"), int),
    **dict.fromkeys(("resample_rate", "window_size", "hop_size", "n_fft", "n_mels"), int),
    **dict.fromkeys(("fmin_aug_range", "fmax_aug_range"), int),
    **dict.fromkeys(("model_width", "pretrain_final_temp", "mixup_alpha", "mixstyle_p", "mixstyle_alpha"), float),
    **dict.fromkeys(("max_lr", "lr", "classifier_lr", "last_layer_lr", "features_lr", "last_lr_value"), float),
    **dict.fromkeys(("temperature", "kd_lambda"), float),
    # whole numbers in some programs of the original, which then refuse 0.001 as a weight decay
    # ([efficientat_training 13](docs/specification/efficientat_training.md#s13))
    **dict.fromkeys(("weight_decay", "gain_augment"), float),
    "ensemble": (str, "+"),
    "strides": (int, 4),
}

# ---- defaults

FRONT_END: dict[str, Any] = {
    "resample_rate": 32000, "window_size": 800, "hop_size": 320, "n_fft": 1024, "n_mels": 128,
    "freqm": 0, "timem": 0, "fmin": 0, "fmax": None,
}  # fmt: skip
GENERAL: dict[str, Any] = {
    "cuda": False, "num_workers": 12, "model_width": 1.0, "head_type": "mlp", "se_dims": "c", "last_lr_value": 0.01,
    **FRONT_END,
}  # fmt: skip
NARROW = {"fmin_aug_range": 1, "fmax_aug_range": 1000}
WIDE = {"fmin_aug_range": 10, "fmax_aug_range": 2000}

AUDIOSET: dict[str, Any] = {
    **GENERAL,
    "experiment_name": "AudioSet", "train": False, "batch_size": 120, "n_epochs": 200, "epoch_len": 100000,
    "ensemble": [], "model_name": "mn10_as", "strides": [2, 2, 2, 2],
    "mixup_alpha": 0.3, "roll": False, "wavmix": False, "gain_augment": 0,
    "max_lr": 0.0008, "warm_up_len": 8, "ramp_down_start": 80, "ramp_down_len": 95,
    "teacher_preds": "resources/passt_enemble_logits_mAP_495.npy", "fname_to_index": "resources/fname_to_index.pkl",
    "temperature": 1, "kd_lambda": 0.1,
}  # fmt: skip
AUDIOSET_2024 = {
    **AUDIOSET, **WIDE, "pretrained": False, "pretrain_final_temp": 30.0, "adamw": False, "weight_decay": 0,
}  # fmt: skip
LIGHTNING = {
    **{name: value for name, value in AUDIOSET_2024.items() if name != "train"},
    "num_devices": 4, "precision": 16, "max_lr": 0.003, "weight_decay": 0.0001,
}  # fmt: skip

DOWNSTREAM_2023: dict[str, Any] = {
    **GENERAL, "pretrained_name": None, "classifier_lr": None, "last_layer_lr": None, "features_lr": None,
}  # fmt: skip
DOWNSTREAM_2024: dict[str, Any] = {
    **GENERAL, **WIDE,
    "pretrained": False, "model_name": "mn10_as", "pretrain_final_temp": 1.0,
    "n_epochs": 80, "mixup_alpha": 0.3, "no_roll": False, "no_wavmix": False, "gain_augment": 12, "weight_decay": 0.0,
    "warm_up_len": 10, "ramp_down_start": 10, "ramp_down_len": 65,
}  # fmt: skip
MIXSTYLE = {"cache_path": None, "mixstyle_p": 0.0, "mixstyle_alpha": 0.4}

DEFAULTS: dict[tuple[str, int], dict[str, Any]] = {
    ("ex_audioset", 2023): {**AUDIOSET, "pretrained_name": None},
    ("ex_audioset", 2024): AUDIOSET_2024,
    ("ex_pl_audioset", 2024): LIGHTNING,
    ("ex_dcase20", 2023): {
        **DOWNSTREAM_2023, **MIXSTYLE, **NARROW,
        "experiment_name": "DCASE20", "batch_size": 16, "n_epochs": 50, "lr": 2e-5, "weight_decay": 1e-3,
        "warm_up_len": 6, "ramp_down_start": 6, "ramp_down_len": 20, "mixup_alpha": 0.3, "roll": True, "no_roll": True,
    },
    ("ex_fsd50k", 2023): {
        **DOWNSTREAM_2023, **WIDE,
        "experiment_name": "FSD50K", "train": False, "batch_size": 64, "n_epochs": 20, "lr": 5e-5, "weight_decay": 1e-4,
        "warm_up_len": 0, "ramp_down_start": 6, "ramp_down_len": 9, "mixup_alpha": 0, "roll": False, "wavmix": False,
        "gain_augment": 0, "variable_eval_length": False,
    },
    ("ex_esc50", 2023): {
        **DOWNSTREAM_2023, **NARROW,
        "experiment_name": "ESC50", "batch_size": 64, "n_epochs": 50, "lr": 1e-5, "weight_decay": 1e-3, "fold": 1,
        "warm_up_len": 10, "ramp_down_start": 20, "ramp_down_len": 20, "mixup_alpha": 0.0, "roll": False,
        "gain_augment": 0.0,
    },
    ("ex_dcase20", 2024): {
        **DOWNSTREAM_2024, **MIXSTYLE, "experiment_name": "DCASE20", "batch_size": 64, "lr": 8e-4,
    },
    ("ex_fsd50k", 2024): {
        **DOWNSTREAM_2024,
        "experiment_name": "FSD50K", "train": False, "batch_size": 64, "lr": 7e-5, "variable_eval_length": False,
    },
    ("ex_esc50", 2024): {**DOWNSTREAM_2024, "experiment_name": "ESC50", "batch_size": 128, "lr": 6e-5, "fold": 1},
    ("ex_openmic", 2024): {
        **DOWNSTREAM_2024, "experiment_name": "OpenMic", "train": False, "batch_size": 64, "lr": 1e-5,
    },
}  # fmt: skip


@dataclass(frozen=True)
class ProgramLine:
    """A parsed command line of a training program.

    Attributes:
        script: "ex_esc50".
        generation: 2023 or 2024.
        values: every option of the program by the original's name, as the program itself would have it.
        typed: names of the options that stand on the line.
        dataset_dir: folder of the data set; None: where the program's name says.
        output_dir: the run folder; None: named by the time.
        wandb: project of Weights & Biases; "": the published one; None: no logging there.
        notes: what was understood of the line.
    """

    script: str
    generation: int
    values: dict[str, Any]
    typed: tuple[str, ...] = ()
    dataset_dir: str | None = None
    output_dir: str | None = None
    wandb: str | None = None
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an option that not every program has."""
        return self.values.get(name, default)

    @property
    def trains(self) -> bool:
        """True unless the program evaluates without ``--train``."""
        return bool(self.get("train", True))


OWN = ("generation", "dataset_dir", "output_dir", "wandb")


def parse_program(script: str, args: Sequence[str]) -> ProgramLine:
    """Parse a line.

    Args:
        script: one of ``PROGRAMS``.
        args: what follows the script.

    Raises:
        AuricleError: for an unknown option, with the nearest one, and for options of two generations on one line.
    """
    typed = typed_names(args)
    generation, notes = generation_of(script, args)
    parsed = vars(parser_of(script, generation).parse_args(list(args)))
    own = {name: parsed.pop(name) for name in OWN}
    names = {*DEFAULTS[script, generation]}
    own.pop("generation")
    return ProgramLine(script, generation, parsed, tuple(sorted(typed & names)), **own, notes=notes)


def typed_names(args: Sequence[str]) -> set[str]:
    """Return the names of the options that stand on a line."""
    return {arg[2:].partition("=")[0].replace("-", "_") for arg in args if arg.startswith("--")}


def generation_of(script: str, args: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Return the generation that a line belongs to, and a sentence where nothing on the line decides it.

    Raises:
        AuricleError: the line has options of both.
    """
    known = [generation for generation in GENERATIONS if (script, generation) in DEFAULTS]
    wanted = explicit_generation(args)
    if wanted is not None and wanted not in known:
        raise AuricleError(f"{script} belongs to generation {known[-1]} only, not {wanted}")
    if wanted is not None or len(known) == 1:
        return wanted or known[0], ()
    typed = typed_names(args)
    old, new = (DEFAULTS[script, generation].keys() for generation in GENERATIONS)
    only_old, only_new = sorted(typed & (old - new)), sorted(typed & (new - old))
    if only_old and only_new:
        raise AuricleError(
            f"--{only_old[0]} belongs to {script} of 2023 and --{only_new[0]} to that of 2024; use one of them, or say "
            "--generation 2023 or --generation 2024"
        )
    if only_old or only_new:
        return (2023 if only_old else 2024), ()
    both = ", ".join(sorted(name for name in old & new if old_default(script, name) != new_default(script, name)))
    differing = f"; --generation 2023 has other defaults of {both}" if both else ""
    return NEWEST, (f"{script} is taken as that of {NEWEST}{differing}",)


def old_default(script: str, name: str) -> Any:
    return DEFAULTS[script, 2023][name]


def new_default(script: str, name: str) -> Any:
    return DEFAULTS[script, 2024][name]


def explicit_generation(args: Sequence[str]) -> int | None:
    """Return the value of ``--generation``, which is no option of the original."""
    for place, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name == "--generation":
            text = value if equals else next(iter(args[place + 1 : place + 2]), "")
            if text not in map(str, GENERATIONS):
                raise AuricleError(f"--generation is 2023 or 2024, not '{text}'{nearest(text, ('2023', '2024'))}")
            return int(text)
    return None


def parser_of(script: str, generation: int) -> LineParser:
    """Return the parser of a program: its own options, and four of ours."""
    parser, defaults = LineParser(f"auricle original efficientat {script}"), DEFAULTS[script, generation]
    for name, default in defaults.items():
        kind = KINDS[name]
        if name == "no_roll" and "roll" in defaults:
            parser.add_option("--no_roll", dest="roll", action="store_false", default=default)
        elif kind is bool:
            parser.add_option(f"--{name}", action="store_true", default=default)
        elif isinstance(kind, tuple):
            parser.add_option(f"--{name}", type=kind[0], nargs=kind[1], default=default, help=f"default: {default}")
        else:
            parser.add_option(f"--{name}", type=kind, default=default, help=f"default: {default}")
    parser.add_option("--generation", type=int, help="2023 or 2024; none: by the other options of the line")
    parser.add_option("--dataset_dir", help="folder of the data set (a constant in the original)")
    parser.add_option("--output_dir", help="the run folder (W&B's in the original)")
    parser.add_option("--wandb", nargs="?", const="", metavar="PROJECT", help="log to Weights & Biases")
    return parser
