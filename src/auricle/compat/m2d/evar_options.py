"""The command line of EVAR's fine-tuning program, ``finetune.py CONFIG TASK OPTIONS FLAGS``, and of M2D's scripts that call it.

CONFIG names a YAML file; where there is none, the published settings of M2D's four configurations apply. OPTIONS is one text
``key=value,…`` that replaces settings of CONFIG. Flags, defaults and recipes: [finetuning 1](docs/specification/finetuning.md#s1),
[8](docs/specification/finetuning.md#s8). This module does not import PyTorch.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.compat.lines import LineParser, read_yaml
from auricle.core.errors import AuricleError, nearest

# ---- configurations ([finetuning 1](docs/specification/finetuning.md#s1))

M2D: dict[str, Any] = {
    "audio_repr": "ar_m2d.AR_M2D", "weight_file": "", "feature_d": 3840, "sample_rate": 16000, "name": "",
    "n_fft": 400, "window_size": 400, "hop_size": 160, "n_mels": 80, "f_min": 50, "f_max": 8000, "window": "hanning",
    "mean": -7.1, "std": 4.2, "output_layers": [-1], "encoder_only": True, "dur_frames": None, "freeze_embed": None,
    "flat_features": False, "temporal_pooling_type": "mean", "cls_token": False,
    "batch_size": 128, "lr_lineareval": 3e-5, "early_stop_epochs": 20, "report_per_epochs": 50,
    "training_mask": 0.0, "warmup_epochs": 5, "mixup": 0.5, "ft_bs": 128, "ft_lr": 2.0, "ft_early_stop_epochs": -1,
    "ft_epochs": 200, "ft_freq_mask": 30, "ft_time_mask": 192, "ft_noise": 0.0, "ft_rrc": True,
}  # fmt: skip
AT_32K = {
    "sample_rate": 32000,
    "n_fft": 800,
    "window_size": 800,
    "hop_size": 320,
    "f_max": 16000,
    "encoder_only": False,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "m2d": M2D,
    "m2d_32k": {**M2D, **AT_32K},
    "m2d_clap": {**M2D, "flat_features": True},
    "m2d_clap_32k": {**M2D, **AT_32K, "flat_features": True},
}

# ---- flags: kind, and the setting of CONFIG that is taken without the flag (or, for lr, epochs and batch_size, for 0)

FLAGS: dict[str, tuple[Any, str]] = {
    "seed": (int, ""), "lr": (float, "ft_lr"), "epochs": (int, "ft_epochs"), "batch_size": (int, "ft_bs"),
    "hidden": ("value", ""), "mixup": (float, "mixup"), "warmup_epochs": (int, "warmup_epochs"),
    "early_stop_epochs": (int, "ft_early_stop_epochs"), "freq_mask": (int, "ft_freq_mask"),
    "time_mask": (int, "ft_time_mask"), "rrc": ("truth", "ft_rrc"), "training_mask": (float, "training_mask"),
    "optim": (str, ""), "unit_sec": (float, ""), "data_path": (str, ""), "eval_only": ("truth", ""),
    "freeze_ar": ("truth", ""), "loss_fn": (str, ""), "verbose": ("truth", ""),
}  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "seed": 42, "hidden": (), "optim": "sgd", "data_path": "work", "eval_only": False, "freeze_ar": False, "verbose": False,
}  # fmt: skip
ZERO_IS_UNSET = ("lr", "epochs", "batch_size")
OPTIMISERS = ("sgd", "adamw", "lars", "lamb")

# ---- the scripts of M2D


@dataclass(frozen=True)
class Script:
    """A script of M2D: the task, options of CONFIG and flags with which it calls the program."""

    task: str
    options: str
    flags: dict[str, Any]


def _flags(
    lr: float, epochs: int, batch: int, mixup: float, masks: tuple[int, int], mask: float, rrc: bool, **more: Any
) -> dict[str, Any]:
    names = {
        "lr": lr,
        "epochs": epochs,
        "batch_size": batch,
        "mixup": mixup,
        "freq_mask": masks[0],
        "time_mask": masks[1],
    }
    return {**names, "training_mask": mask, "rrc": rrc, "optim": "sgd", **more}


_AS20K = Script("as20k", "dur_frames=1001", _flags(0.5, 200, 64, 0.3, (30, 192), 0.5, True))
SCRIPTS = {
    "ft-as2m.sh": Script(
        "as",
        "dur_frames=1001",
        _flags(
            2.0, 70, 64, 0.5, (30, 192), 0.5, False, optim="lars", warmup_epochs=15, data_path="../data/audioset_lms"
        ),
    ),
    "ft-as20k.sh": _AS20K,
    "ft-as0k.sh": _AS20K,  # as the read-me spells it
    "ft-esc50.sh": Script("esc50", "dur_frames=501,freeze_embed=True", _flags(0.5, 200, 128, 0.0, (15, 48), 0.5, True)),
    "ft-spc.sh": Script("spcv2", "", _flags(0.5, 200, 128, 0.3, (30, 48), 0.5, True)),
    "ft-vc1.sh": Script("vc1", "dur_frames=821", _flags(0.0005, 50, 64, 0.0, (30, 48), 0.0, False, optim="adamw")),
}
ALWAYS = "encoder_only=True"  # of all these scripts


@dataclass(frozen=True)
class FinetuneLine:
    """A parsed call of the program.

    Attributes:
        config: settings of CONFIG, with those of OPTIONS.
        config_name: "m2d" of ``config/m2d.yaml``.
        task: "esc50".
        flags: by name, every value resolved.
        dataset_dir: folder of the data set; None: where EVAR has it.
        balanced: True for the task whose clips are drawn by weight.
    """

    config: dict[str, Any]
    config_name: str
    task: str
    flags: dict[str, Any] = field(default_factory=dict)
    dataset_dir: str | None = None

    @property
    def balanced(self) -> bool:
        return self.task == "as"

    @property
    def weight_file(self) -> str:
        return str(self.config["weight_file"])


def parse_finetune(args: Sequence[str]) -> FinetuneLine:
    """Parse the arguments of ``finetune.py``.

    Raises:
        AuricleError: for unknown settings and flags, with the nearest one, and for values that the program refuses.
    """
    parsed = vars(finetune_parser().parse_args(list(args)))
    return resolved(parsed.pop("config"), parsed.pop("task"), parsed.pop("options"), parsed, parsed.pop("dataset_dir"))


def finetune_parser() -> LineParser:
    parser = LineParser("auricle original m2d finetune")
    parser.add_argument("config", help="YAML file: config/m2d.yaml")
    parser.add_argument("task", help="esc50, us8k, spcv2, …")
    parser.add_argument("options", nargs="?", default="", help="settings of the file: batch_size=16,weight_file=W")
    kinds = {"truth": truth, "value": literal}
    for name, (kind, key) in FLAGS.items():
        flag = {"nargs": "?", "const": True} if kind == "truth" else {}
        default = f"{key} of the configuration" if key else DEFAULTS.get(name)
        parser.add_option(f"--{name}", type=kinds.get(kind, kind), help=f"default: {default}", **flag)
    parser.add_option(
        "--dataset_dir", help="folder of the data set, in its official layout (not an option of the original)"
    )
    return parser


def script_lines(script: str, args: Sequence[str]) -> Iterator[FinetuneLine]:
    """Yield the calls of a script: ``ft-esc50.sh FOLDER REPEATS SEED EPOCH…``; every call has the next seed.

    Raises:
        AuricleError: for other arguments than a folder and whole numbers.
    """
    parser = LineParser(f"auricle original m2d {script}")
    parser.add_argument("folder", help="folder of the checkpoints")
    parser.add_argument("repeats", type=int, help="number of repeats")
    parser.add_argument("seed", type=int, help="the first run has this seed plus 1")
    parser.add_argument("epochs", type=int, nargs="+", metavar="epoch", help="number of a checkpoint")
    parser.add_option(
        "--dataset_dir", help="folder of the data set, in its official layout (not an option of the original)"
    )
    parser.add_option(
        "--data_path", help="root of the log-mel files of AudioSet (edited in the script in the original)"
    )
    values = parser.parse_args(list(args))
    if values.repeats < 1:
        raise AuricleError(f"{script} repeats at least once, not {values.repeats} times")
    recipe, seed = SCRIPTS[script], values.seed
    flags = {**recipe.flags, **({"data_path": values.data_path} if values.data_path else {})}
    for _ in range(values.repeats):
        for epoch in values.epochs:
            seed += 1
            weights = f"weight_file={values.folder}/checkpoint-{epoch}.pth"
            options = ",".join(filter(None, (weights, ALWAYS, recipe.options)))
            yield resolved("config/m2d.yaml", recipe.task, options, {**flags, "seed": seed}, values.dataset_dir)


def resolved(config: str, task: str, options: str, flags: dict[str, Any], dataset_dir: str | None) -> FinetuneLine:
    """Return the line with every flag that it leaves out taken from the configuration."""
    settings = with_options(read_config(config), options)
    values: dict[str, Any] = {}
    for name, (_, key) in FLAGS.items():
        given = flags.get(name)
        if name in ZERO_IS_UNSET and not given:
            given = None
        values[name] = given if given is not None else settings.get(key) if key else DEFAULTS.get(name)
    check(values)
    return FinetuneLine(settings, Path(config).stem, task, values, dataset_dir)


def check(values: dict[str, Any]) -> None:
    """Raise AuricleError for flags that the program refuses."""
    if values["optim"] not in OPTIMISERS:
        raise AuricleError(
            f"--optim is one of {', '.join(OPTIMISERS)}, not '{values['optim']}'{nearest(values['optim'], OPTIMISERS)}"
        )
    if values["loss_fn"] is not None:
        raise AuricleError("--loss_fn is a Python function in the original and cannot be named on a command line")
    hidden = values["hidden"]
    sizes = hidden if isinstance(hidden, (tuple, list)) else (hidden,)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise AuricleError(f"--hidden is a list of whole numbers such as (128,), not {hidden!r}")
    values["hidden"] = tuple(sizes)


def read_config(file: str) -> dict[str, Any]:
    """Read the configuration file; where there is none, return the published settings of that name.

    Raises:
        AuricleError: for a file of another model, and a name without published settings.
    """
    path = Path(file)
    if path.is_file():
        settings = {**M2D, **read_yaml(str(path.parent), path.stem)}
    elif path.stem in CONFIGS:
        settings = dict(CONFIGS[path.stem])
    else:
        raise AuricleError(
            f"there is no configuration {file}{nearest(path.stem, tuple(CONFIGS))}; without a file the published settings of "
            f"{', '.join(CONFIGS)} apply"
        )
    if "m2d" not in str(settings["audio_repr"]).lower():
        raise AuricleError(
            f"{file} configures {settings['audio_repr']}; only M2D's weights are fine-tuned by these lines"
        )
    return settings


# ---- the text of options


def with_options(settings: dict[str, Any], text: str) -> dict[str, Any]:
    """Return settings with those of a text ``key=value,…`` replaced; ``+key=value`` adds one.

    Raises:
        AuricleError: for an unknown key, with the nearest one, and a part without "=".
    """
    values = dict(settings)
    for part in split_options(text):
        name, equals, value = part.partition("=")
        key = name.strip().lstrip("+")
        if not equals:
            raise AuricleError(f"'{part}' is no option: expected key=value,key=value")
        if key not in values and not name.strip().startswith("+"):
            raise AuricleError(f"the configuration has no '{key}'{nearest(key, tuple(values))}; +{key}=… adds it")
        values[key] = literal(value)
    return values


def split_options(text: str) -> list[str]:
    """Split at commas that are not inside brackets or quotes."""
    parts = re.findall(r"""(?:[^,\[\](){}'"]|\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|'[^']*'|"[^"]*")+""", text)
    return [part.strip() for part in parts if part.strip()]


def literal(text: str) -> Any:
    """Return a number, True, False, None, list or tuple as Python writes it; anything else as text."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()


def truth(text: str) -> bool:
    """Return True or False, as they are typed."""
    known = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected True or False, not '{text}'")
    return known[text.lower()]


# ---- names of runs


def settings_text(flags: dict[str, Any], *, balanced: bool) -> str:
    """Return the settings of a run as EVAR writes them in names: the parts that differ from its reference values.

    Source: [finetuning 1](docs/specification/finetuning.md#s1).
    """
    parts = (
        ("lr", flags["lr"], 0.0), ("mu", flags["mixup"], 0.0), ("fm", flags["freq_mask"], 0), ("tm", flags["time_mask"], 0),
        ("bal", balanced, False), ("wu", flags["warmup_epochs"], 5), ("s", flags["seed"], 42),
        ("tx", flags["training_mask"], 0.0), ("R", flags["rrc"], False), ("O", flags["optim"], "sgd"),
        ("s", flags["unit_sec"], None),
    )  # fmt: skip
    return "".join(_part(name, value) for name, value, reference in parts if value != reference)


def _part(name: str, value: Any) -> str:
    if value is True:
        return name
    text = str(value)
    return name + (text.replace("0.", "") if name in ("lr", "mu", "tx") else text)
