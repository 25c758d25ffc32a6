"""What the original M2D program leaves in its folder, written beside our own files (specification m2d 5.4, 5.5).

``checkpoint-<epoch>.pth`` in the published layout, every ``save_freq`` epochs and at the end; ``log.txt``, one JSON
object an epoch (0-based). It hears of an epoch as a sink of the log.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.io import write_text
from auricle.hub.convert.m2d_names import factory_name, program_of
from auricle.hub.convert.m2d_options import MAE, defaults_of, options_of
from auricle.hub.convert.m2d_run_names import run_folder_name
from auricle.methods.settings import PretrainConfig

if TYPE_CHECKING:
    from auricle.methods.base import Objective
    from auricle.methods.settings import PretrainConfig


# A run's settings in the words of the original M2D program: for the name of its folder, and for its checkpoints.

PUBLISHED = "published"  # --out published


def published_settings(config: PretrainConfig) -> tuple[str, dict[str, Any]]:
    """The original's program, and its options with this run's values; options that change nothing there are left out.

    Raises AuricleError for a method that is not of the M2D family.
    """
    program = program_of(config.method)
    if program is None:
        raise AuricleError(f"the original M2D program has no method '{config.method}'")
    values = values_of(config)
    given = {
        option.name: values[option.ours]
        for option in options_of(program)
        if option.ours in values and program not in option.unused
    }
    given |= {
        "lr": values["lr"] or None,
        "csv_main": config.source,
        "patch_size": values["patch_size"],
        "sr": f"{values['sample_rate'] // 1000}k",
    }
    given["batch_size"] = values["batch_size"] or values["effective_batch"]
    given |= {"model": factory_name(config.method, values["embed_dim"], values["depth"]), **_switches(values)}
    if values["noise_ratio"]:
        given["csv_bg_noise"] = values["csv_bg_noise"]
    names = {option.name for option in options_of(program)}
    return program, {name: value for name, value in given.items() if name in names}


def _switches(values: dict[str, Any]) -> dict[str, Any]:
    norm = values["norm_targets"]
    layers = list(values.get("target_layers", ()))
    return {
        "no_norm_pix_loss": not norm,
        "norm_pix_loss": norm,
        "target_layers": str(layers) if layers else "",
        "bf16": values["precision"] == "bf16",
        "stop_at": values["stop_at"] or -1,
    }


def published_out(config: PretrainConfig, processes: int) -> str:
    """The folder that the original would make for this run, in the working directory (specification m2d 5.6)."""
    program, settings = published_settings(config)
    return run_folder_name(program, settings, date=time.strftime("%y%m%d"), processes=processes)


def values_of(config: Any) -> dict[str, Any]:
    """Every setting by name, those of nested configs too."""
    found: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        found |= values_of(value) if is_dataclass(value) else {item.name: value}
    return found


LOGGED = {"loss": "loss", "lr": "lr", "ema_decay": "ema_decay", "loss_m2d": "l_on", "loss_off": "l_off"}  # ours: theirs
SCORED = {"val_loss": "val_loss", "val_loss_m2d": "val_l_on", "val_loss_off": "val_l_off"}
NOT_LOOKED = {"rank": -1.0, "auc": -1.0}  # specification m2d 5.4


class PublishedFiles:
    """A sink of the training log that keeps the original's own files up to date."""

    def __init__(self, objective: Objective, config: PretrainConfig, folder: Path):
        self.objective, self.config, self.folder = objective, config, folder
        self.values: dict[str, list[float]] = defaultdict(list)
        self.begun = False
        self.written = 0  # the newest checkpoint of this process

    def write(self, row: dict[str, Any]) -> None:
        """Of a run that goes on in the middle of an epoch, what was logged of that epoch before counts too."""
        if not self.begun:
            self.begun = True
            for earlier in self.of_this_epoch():
                self.take(earlier)
        self.take(row)
        if row["kind"] == "epoch":
            self.epoch(int(row["epoch"]), {name: row.get(name, value) for name, value in NOT_LOOKED.items()})

    def of_this_epoch(self) -> list[dict[str, Any]]:
        """The log's rows behind its last epoch, without the newest."""
        from auricle.training.log import read_log

        rows = read_log(self.folder / "metrics.jsonl")[:-1]
        ends = [place for place, row in enumerate(rows) if row["kind"] == "epoch"]
        return rows[ends[-1] + 1 :] if ends else rows

    def take(self, row: dict[str, Any]) -> None:
        names = {"step": LOGGED, "validation": SCORED}.get(row["kind"], {})
        for name in names.keys() & row.keys():
            self.values[names[name]].append(float(row[name]))

    def epoch(self, number: int, look: dict[str, float]) -> None:
        """``number`` epochs are done; ``look`` says of their features what was found."""
        means = {name: sum(seen) / len(seen) for name, seen in sorted(self.values.items())}
        self.values.clear()
        said = {**self.parts(means), **look}
        self.log({**{f"train_{name}": value for name, value in said.items()}, "epoch": number - 1})
        train = self.config.train
        if number % train.save_freq == 0 or number == min(train.stop_at or train.epochs, train.epochs):
            self.checkpoint(number)

    def end(self) -> None:
        """The checkpoint of a run that ended within an epoch bears the epoch's number."""
        from auricle.training.log import read_log

        begun = [row["epoch"] for row in read_log(self.folder / "metrics.jsonl", "step")]
        number = math.floor(max(begun, default=0)) + 1
        if self.written != number:
            self.checkpoint(number)

    def parts(self, means: dict[str, float]) -> dict[str, float]:
        """With both parts of the loss: plain M2D has the masked prediction alone. The MAE program does not know them."""
        if program_of(self.config.method) == MAE:
            return means
        alone: dict[str, float] = {}
        for prefix in ("", "val_"):
            if f"{prefix}loss" in means:
                alone |= {f"{prefix}l_on": means[f"{prefix}loss"], f"{prefix}l_off": 0.0}
        return {**alone, **means}

    def log(self, line: dict[str, Any]) -> None:
        """A run that was continued writes its last epochs again: their old lines go."""
        path = self.folder / "log.txt"
        lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
        kept = [old for old in lines if old["epoch"] < line["epoch"]]
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in (*kept, line)))

    def checkpoint(self, number: int) -> None:
        """The optimiser's state is not in it: the original numbers parameters by an order of its own."""
        from auricle.hub.convert.m2d import m2d_content
        from auricle.hub.weight_file import write_pickle

        program, settings = published_settings(self.config)
        model = {name: value.detach().cpu() for name, value in self.objective.state_dict().items()}
        args = argparse.Namespace(**{**defaults_of(program), **settings})
        content = {**m2d_content(model)[0], "optimizer": {}, "epoch": number, "scaler": {}, "args": args}
        write_pickle(content, self.folder / f"checkpoint-{number}.pth")
        self.written = number
