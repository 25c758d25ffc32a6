"""Read the contents of a run folder for the report; missing parts are empty."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.evaluation.evaluation import Evaluation
from auricle.hub.run_folder import RunFolder
from auricle.reports.snapshot import Snapshot, load_snapshot
from auricle.training.log import length_of_run, read_log

EVALUATIONS = "evaluations"


@dataclass(frozen=True)
class RunView:
    """A run folder, read lazily.

    Attributes:
        folder: The run folder.
        config: Its settings.
        evaluations: Its evaluations that could be read, by file name.
        snapshot: Clips saved for the report; None if there are none.
        problems: Sentences on what could not be read; the report shows them.
        shown: Name on the page; "" for the name of the folder.
    """

    folder: RunFolder
    config: dict[str, Any]
    evaluations: tuple[Evaluation, ...]
    snapshot: Snapshot | None
    problems: tuple[str, ...]
    shown: str = ""

    @classmethod
    def open(cls, path: Path | str) -> RunView:
        """Open a run folder. Raises AuricleError where there is no run."""
        folder, problems = RunFolder.open(path), list[str]()
        config = folder.read_config()
        evaluations = []
        for file in sorted((folder.path / EVALUATIONS).glob("*.json")):
            if file == folder.detector:
                continue
            try:
                evaluations.append(Evaluation.load(file))
            except AuricleError as error:
                problems.append(str(error))
        try:
            snapshot = load_snapshot(folder.path)
        except AuricleError as error:
            snapshot = None
            problems.append(str(error))
        return cls(folder, config, tuple(evaluations), snapshot, tuple(problems))

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def name(self) -> str:
        """Name of the folder, or what tells it from others on the page."""
        return self.shown or self.path.resolve().name

    def part(self, name: str) -> dict[str, Any]:
        """Return a group of settings ("model", "data"); {} where the method has one value of that name, or none."""
        values = self.config.get(name)
        return values if isinstance(values, dict) else {}

    @property
    def predicts(self) -> bool:
        """Return True if the method hides parts of clips and predicts them; fine-tuning and distillation do not."""
        return not self.part("learning")

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        return read_log(self.folder.metrics)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the lines of the log of one kind: "step", "health", "validation", "evaluation"."""
        return [row for row in self.log if row.get("kind") == kind]

    @cached_property
    def epochs(self) -> float:
        """Epochs so far, from the encoder file or the log, whichever is later."""
        saved = self.encoder.get("lineage", {}).get("epoch", 0.0)
        logged = (float(row.get("epoch", 0)) for row in self.log)
        return max([float(saved) if isinstance(saved, (int, float)) else 0.0, *logged])

    @property
    def updates(self) -> int:
        """Weight updates so far; lines of the log may be some updates apart."""
        logged = max((int(row.get("step", 0)) for row in self.log), default=0)
        saved = self.encoder.get("lineage", {}).get("step")
        return saved if isinstance(saved, int) else logged

    @property
    def length(self) -> str:
        """ "20 epochs", "3.28 epochs", "1 epoch"."""
        return length_of_run(self.epochs)

    @cached_property
    def encoder(self) -> dict[str, Any]:
        """Metadata of the encoder file (architecture, info, lineage); empty before the run has ended."""
        from auricle.hub.weight_file import describe

        try:
            return describe(self.folder.encoder) if self.folder.encoder.is_file() else {}
        except AuricleError:
            return {}

    @cached_property
    def parameters(self) -> int:
        """Numbers in the encoder file, statistics and fixed positions included."""
        from safetensors import safe_open

        if not self.encoder:
            return 0
        with safe_open(self.folder.encoder, "numpy") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
        return sum(math.prod(shape) for shape in shapes)

    @property
    def commands(self) -> str:
        """The command lines of the run."""
        return self._text("command.txt")

    @property
    def environment(self) -> dict[str, Any]:
        """The machine and the versions of the run; empty where the file is lost or damaged."""
        try:
            values = json.loads(self._text("environment.json") or "{}")
        except (ValueError, RecursionError):
            return {}
        return values if isinstance(values, dict) else {}

    @property
    def processes(self) -> int:
        """How many processes trained it (torchrun)."""
        world = self.environment.get("world")
        return world if isinstance(world, int) else 1

    def _text(self, name: str) -> str:
        file = self.path / name
        return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""


def named_apart(runs: Sequence[RunView]) -> list[RunView]:
    """Return the runs, those of one name with as much of their paths as tells them apart: "monday/first"."""
    parts = [run.path.resolve().parts for run in runs]
    shown = [
        next((k for k in range(1, len(own)) if sum(other[-k:] == own[-k:] for other in parts) == 1), len(own))
        for own in parts
    ]
    return [replace(run, shown=str(Path(*own[-k:]))) for run, own, k in zip(runs, parts, shown, strict=True)]


def main_evaluation(evaluations: tuple[Evaluation, ...]) -> Evaluation | None:
    """Return the evaluation that is shown in detail: a logistic probe where there is one, else the first."""
    logistic = [e for e in evaluations if e.protocol.startswith("logistic")]
    return next(iter(logistic or evaluations), None)
