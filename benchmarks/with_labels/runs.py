"""One result after the other: fine-tune, distil, probe; what is finished stands in a file and is not done again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import auricle
from auricle.training.log import read_log
from benchmarks.with_labels import settings
from benchmarks.with_labels.sounds import Row, clips, split_rows, write_table


@dataclass(frozen=True)
class Result:
    """part, arm (what was compared), task, split and seed name a result.

    Attributes:
        accuracy: Share of the test clips.
        clips: Number of test clips.
        seconds: Of training.
        data_wait: Share of the training time spent waiting for data; None where nothing was trained by steps.
    """

    part: str
    arm: str
    task: str
    split: str
    seed: int
    accuracy: float
    clips: int
    seconds: float
    data_wait: float | None = None


class Results:
    """The file of finished results, one JSON object a line."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.rows = [Result(**json.loads(line)) for line in lines if line.endswith("}")]

    def have(self, *name: str | int) -> bool:
        return any((row.part, row.arm, row.task, row.split, row.seed) == name for row in self.rows)

    def add(self, row: Result) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        self.rows.append(row)
        where = f"{row.part}, {row.arm}, {row.task}, {row.split}, seed {row.seed}"
        print(f"{where}: {row.accuracy:.1%} of {row.clips} clips, {row.seconds:.0f} s", flush=True)


class Runs:
    """What the parts have in common.

    Args:
        out: the file of results; runs, recordings and tables go into a folder beside it.
        shared: folder with data/esc10, data/fsdd and the weights.
    """

    def __init__(self, out: Path, shared: Path):
        self.results, self.shared = Results(out), shared
        self.folder = out.with_suffix("")
        self.clips = clips(shared, self.folder)

    def tested(
        self, name: tuple[str, str, str, str, int], rows: list[Row], options: dict[str, Any], **start: Any
    ) -> None:
        """Learn labels on the training rows, score the test rows, and keep the result."""
        if self.results.have(*name):
            return
        stem, began = "-".join(map(str, name)).replace(" ", "_"), time.monotonic()
        run, table = self.folder / "runs" / stem, write_table(rows, self.folder / "tables" / f"{stem}.csv")
        shutil.rmtree(run, ignore_errors=True)  # of a run that was killed
        result = auricle.finetune(table, out=run, quiet=True, seed=name[-1], **start, **options)
        test = sum(row["split"] == "test" for row in rows)
        seconds = time.monotonic() - began if result.training is None else result.training.seconds
        self.results.add(Result(*name, result.test["accuracy"], test, seconds, data_wait(run)))
        shutil.rmtree(run / "checkpoints", ignore_errors=True)

    @property
    def published(self) -> dict[str, Any]:
        return {"model": settings.MODEL, "weights": str(self.shared / settings.WEIGHTS)}

    # ---- parts

    def fine_tuned(self, task: str, seeds: list[int], folds: list[int]) -> None:
        """Every fold (speaker) left out, the published network trained end to end on the others."""
        for seed in seeds:
            for fold, rows in self.held_out(task, folds):
                name = ("folds", "fine-tuned", task, f"fold {fold}", seed)
                self.tested(name, rows, settings.FINE_TUNED[task], **self.published)

    def from_random(self, seeds: list[int], folds: list[int]) -> None:
        for seed in seeds:
            for fold, rows in self.held_out("ESC-10", folds):
                name = ("folds", "random weights", "ESC-10", f"fold {fold}", seed)
                self.tested(name, rows, settings.RANDOM, initial="random", **self.published)

    def held_out(self, task: str, folds: list[int]) -> Iterator[tuple[int, list[Row]]]:
        known = sorted({int(row["fold"]) for row in self.clips[task]})
        for fold in folds or known:
            yield fold, split_rows(self.clips[task], [other for other in known if other != fold], [fold])

    def probed(self) -> None:
        """Logistic regression on the frozen embeddings of the published network, on the same files and folds."""
        from auricle.evaluation.runner import evaluate
        from auricle.evaluation.tasks import Task

        for task, rows in self.clips.items():
            if self.results.have("folds", "frozen probe", task, "fold 1", 0):
                continue
            table, start = write_table(rows, self.folder / "tables" / f"{task}.csv"), time.monotonic()
            encoder = auricle.load(settings.MODEL, weights=self.shared / settings.WEIGHTS)
            found = evaluate(encoder, Task(str(table), split_by="folds"), "logistic", baselines=False)
            seconds = time.monotonic() - start
            for fold, scored in enumerate(found.score.scores, 1):
                test = sum(row["fold"] == str(fold) for row in rows)
                self.results.add(Result("folds", "frozen probe", task, f"fold {fold}", 0, scored.score, test, seconds))

    def search(self, tasks: list[str]) -> None:
        """Candidates within the training part of fold 1, which is not used: learnt from folds 3 on, tested on fold 2."""
        for task in tasks:
            folds = sorted({int(row["fold"]) for row in self.clips[task]})
            rows = split_rows(self.clips[task], folds[2:], folds[1:2])
            for name, values in settings.CANDIDATES[task].items():
                options = {**settings.FINE_TUNED[task], **values}
                self.tested(("search", name, task, "fold 2", 0), rows, options, **self.published)


def finished(verb: str, run: Path, start: Callable[[], Any]) -> None:
    """Start a run, go on with one that was killed, or do nothing for one that has its card."""
    if (run / "card.md").is_file():
        return
    if (run / "config.yaml").is_file():
        auricle_command(verb, "--continue", str(run), "--quiet")
        return
    start()


def auricle_command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "auricle", *arguments], check=True)


def data_wait(run: Path) -> float | None:
    """Mean share of the time since the epoch began that was spent waiting for data, over the logged updates."""
    shares = [row["data_wait"] for row in read_log(run / "metrics.jsonl", "step") if "data_wait" in row]
    return round(fmean(shares), 4) if shares else None
