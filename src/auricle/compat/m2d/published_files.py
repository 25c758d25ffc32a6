"""Write the files of the original M2D program into a run folder, and name the folder as the original does.

The files are ``checkpoint-<epoch>.pth`` in the published layout, every ``save_freq`` epochs and at the end, and ``log.txt``
with one JSON object per epoch, counted from 0 ([m2d 5.4](docs/specification/m2d.md#s5-4), [5.5](docs/specification/m2d.md#s5-5)).
``published_files`` is the callback factory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import defaultdict
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.compat.m2d.names import factory_name, program_of, run_folder_name
from auricle.compat.m2d.options import MAE, defaults_of, options_of
from auricle.compat.original_run import EpochRows
from auricle.core.errors import AuricleError
from auricle.core.io import write_text
from auricle.methods.config import PretrainConfig
from auricle.training.callbacks import Callback

if TYPE_CHECKING:
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.base import Objective, TrainProgress
    from auricle.training.loop import Trainer
    from auricle.training.run import RunParts

PUBLISHED = "published"  # --out published
LOGGED = {
    "loss": "loss",
    "lr": "lr",
    "ema_decay": "ema_decay",
    "loss_m2d": "l_on",
    "loss_off": "l_off",
}  # Auricle's name: the original's
SCORED = {"val_loss": "val_loss", "val_loss_m2d": "val_l_on", "val_loss_off": "val_l_off"}
NOT_MEASURED = {"rank": -1.0, "auc": -1.0}  # [m2d 5.4](docs/specification/m2d.md#s5-4)


def published_files(parts: RunParts, run: RunFolder) -> list[Callback]:
    """Return the callback that writes the original's files if the settings ask for it (``--published-files``)."""
    enabled = getattr(parts.config, "published_files", False)
    return [PublishedFiles(parts.objective, parts.config, run.path)] if enabled else []


class PublishedFiles(Callback):
    """A callback that writes the original's files from the rows of the log."""

    def __init__(self, objective: Objective, config: PretrainConfig, folder: Path):
        self.objective, self.config, self.folder = objective, config, folder
        self.rows = EpochRows(folder / "metrics.jsonl")
        self.last_checkpoint = 0  # number of the newest checkpoint of this process

    def on_log(self, row: dict[str, Any]) -> None:
        self.rows.add(row)
        if row["kind"] == "epoch":
            measured = {name: row.get(name, value) for name, value in NOT_MEASURED.items()}
            self._end_epoch(int(row["epoch"]), measured)

    def on_end(self, trainer: Trainer | None = None, progress: TrainProgress | None = None) -> None:
        """Write the checkpoint of a run that ended within an epoch; it has the number of that epoch."""
        from auricle.training.log import read_log

        epochs = [row["epoch"] for row in read_log(self.folder / "metrics.jsonl", "step")]
        number = math.floor(max(epochs, default=0)) + 1
        if self.last_checkpoint != number:
            self._write_checkpoint(number)

    def _means(self) -> dict[str, float]:
        """Return the means of the logged values of the epoch, under the original's names."""
        values: dict[str, list[float]] = defaultdict(list)
        for row in self.rows.take():
            names = {"step": LOGGED, "validation": SCORED}.get(row["kind"], {})
            for name in names.keys() & row.keys():
                values[names[name]].append(float(row[name]))
        return {name: sum(values) / len(values) for name, values in sorted(values.items())}

    def _end_epoch(self, number: int, measured: dict[str, float]) -> None:
        """Write the line of epoch ``number`` (from 1), and its checkpoint if one is due."""
        line = {**self._with_both_losses(self._means()), **measured}
        self._write_line({**{f"train_{name}": value for name, value in line.items()}, "epoch": number - 1})
        train = self.config.train
        if number % train.save_freq == 0 or number == min(train.stop_at or train.epochs, train.epochs):
            self._write_checkpoint(number)

    def _with_both_losses(self, means: dict[str, float]) -> dict[str, float]:
        """Add both parts of the loss, as all programs but the MAE one do; plain M2D has only masked prediction."""
        if program_of(self.config.method) == MAE:
            return means
        parts: dict[str, float] = {}
        for prefix in ("", "val_"):
            if f"{prefix}loss" in means:
                parts |= {f"{prefix}l_on": means[f"{prefix}loss"], f"{prefix}l_off": 0.0}
        return {**parts, **means}

    def _write_line(self, line: dict[str, Any]) -> None:
        """Append a line. A continued run writes its last epochs again: their old lines are removed."""
        path = self.folder / "log.txt"
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        earlier = [old for text in texts if (old := _line_of(text)) and old["epoch"] < line["epoch"]]
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in (*earlier, line)))

    def _write_checkpoint(self, number: int) -> None:
        """Write a checkpoint without the optimiser's state: the original orders parameters differently."""
        from auricle.hub.convert.m2d import m2d_content
        from auricle.hub.pickles import write_pickle

        program, settings = published_settings(self.config)
        model = {name: value.detach().cpu() for name, value in self.objective.state_dict().items()}
        args = argparse.Namespace(**{**defaults_of(program), **settings})
        content = {**m2d_content(model)[0], "optimizer": {}, "epoch": number, "scaler": {}, "args": args}
        write_pickle(content, self.folder / f"checkpoint-{number}.pth")
        self.last_checkpoint = number


def with_published_out(config: PretrainConfig) -> PretrainConfig:
    """Replace ``--out published`` by the folder name that the original would use for this number of processes."""
    if config.out != PUBLISHED:
        return config
    return replace(config, out=published_out(config, int(os.environ.get("WORLD_SIZE", 1))))


def published_out(config: PretrainConfig, processes: int) -> str:
    """Return the folder name that the original would use for a run ([m2d 5.6](docs/specification/m2d.md#s5-6))."""
    program, settings = published_settings(config)
    return run_folder_name(program, settings, date=time.strftime("%y%m%d"), processes=processes)


def published_settings(config: PretrainConfig) -> tuple[str, dict[str, Any]]:
    """Return the original's program and its options with the values of a run.

    Options without effect are left out.

    Raises:
        AuricleError: if the method does not belong to the M2D family.
    """
    program = program_of(config.method)
    if program is None:
        raise AuricleError(f"the original M2D program has no method '{config.method}'")
    values = flat_values(config)
    settings = {
        option.name: published_value(option.default_of(program), values[option.ours])
        for option in options_of(program)
        if option.ours in values and program not in option.unused
    }
    layers = list(values.get("target_layers", ()))
    settings |= {
        "lr": values["lr"],
        "csv_main": config.source,
        "patch_size": values["patch_size"],
        "sr": f"{values['sample_rate'] // 1000}k",
        "batch_size": values["batch_size"] or values["effective_batch"],
        "model": factory_name(config.method, values["embed_dim"], values["depth"]),
        "no_norm_pix_loss": not values["norm_targets"],
        "norm_pix_loss": values["norm_targets"],
        "target_layers": str(layers) if layers else "",
        "bf16": values["precision"] == "bf16",
        "stop_at": values["stop_at"] or -1,
    }
    if values["noise_ratio"]:
        settings["csv_bg_noise"] = values["csv_bg_noise"] or ""
    names = {option.name for option in options_of(program)}
    return program, {name: value for name, value in settings.items() if name in names}


def _line_of(text: str) -> dict[str, Any] | None:
    """Return a line of ``log.txt``; None for a damaged one."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("epoch"), (int, float)) else None


def published_value(default: Any, value: Any) -> Any:
    """Return a value as the original stores it: None becomes 0 or ""."""
    return type(default)() if value is None and default is not None else value


def flat_values(config: Any) -> dict[str, Any]:
    """Return all settings by name, including those of nested configs."""
    values: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        values |= flat_values(value) if is_dataclass(value) else {item.name: value}
    return values
