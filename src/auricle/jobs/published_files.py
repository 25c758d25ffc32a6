"""What the original M2D program leaves in its folder, written beside our own files (specification m2d 5.4, 5.5).

``checkpoint-<epoch>.pth`` in the published layout, every ``save_freq`` epochs and at the end; ``log.txt``, one JSON
object an epoch (0-based). It hears of an epoch as a sink of the log.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.atomic import write_text
from auricle.hub.convert.m2d_options import defaults_of
from auricle.jobs.published_settings import published_settings

if TYPE_CHECKING:
    from auricle.jobs.methods import PretrainConfig
    from auricle.objectives.base import Objective

NAMES = {"loss_m2d": "l_on", "loss_off": "l_off"}  # of our log -> of theirs; the others are called alike
LOGGED = ("loss", "lr", "ema_decay", "loss_m2d", "loss_off")


class PublishedFiles:
    """A sink of the training log that keeps the original's own files up to date."""

    def __init__(self, objective: Objective, config: PretrainConfig, folder: Path):
        self.objective, self.config, self.folder = objective, config, folder
        self.values: dict[str, list[float]] = defaultdict(list)
        self.found: dict[str, float] = {"rank": -1, "auc": -1}  # specification m2d 5.4: where there was no look

    def write(self, row: dict[str, Any]) -> None:
        if row["kind"] == "step":
            for name in LOGGED:
                if name in row:
                    self.values[name].append(float(row[name]))
        elif row["kind"] == "epoch":
            self.epoch(int(row["epoch"]))

    def epoch(self, number: int) -> None:
        """``number`` epochs are done."""
        means = {NAMES.get(name, name): sum(seen) / len(seen) for name, seen in self.values.items()}
        self.values.clear()
        self.log({**{f"train_{name}": value for name, value in {**means, **self.found}.items()}, "epoch": number - 1})
        train = self.config.train
        if number % train.save_freq == 0 or number == (train.stop_at or train.epochs):
            self.checkpoint(number)

    def log(self, line: dict[str, Any]) -> None:
        """A run that was continued writes its last epochs again: their old lines go."""
        path = self.folder / "log.txt"
        lines = [json.loads(text) for text in path.read_text().splitlines()] if path.is_file() else []
        kept = [old for old in lines if old["epoch"] < line["epoch"]]
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in (*kept, line)))

    def checkpoint(self, number: int) -> None:
        """The optimiser's state is not in it: the original numbers parameters by an order of its own."""
        from auricle.hub.convert.m2d import to_published
        from auricle.hub.pickles import write_pickle

        program, settings = published_settings(self.config)
        model = {name: value.detach().cpu() for name, value in self.objective.state_dict().items()}
        args = argparse.Namespace(**{**defaults_of(program), **settings})
        content = {"model": to_published(model), "optimizer": {}, "epoch": number, "scaler": {}, "args": args}
        write_pickle(content, self.folder / f"checkpoint-{number}.pth")
