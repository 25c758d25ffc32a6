"""Students: a network of width 0.1 from four labelled clips a class, from random weights or after a teacher.

Nothing here sees a test clip before it is tested: teachers' answers, the small encoder and the searched settings come from the
training folds and speakers alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import auricle
from auricle.audio.decode import read
from auricle.commands.finetune.finetune import FinetuneResult
from benchmarks.small_scale.sounds import pool as prepared_pool
from benchmarks.with_labels import settings
from benchmarks.with_labels.runs import Result, Runs, auricle_command, finished
from benchmarks.with_labels.sounds import RATE, Row, few, honest_folds, pool_rows, split_rows, write_table

UNTAUGHT = {"model": settings.STUDENT, "initial": "random"}
LABELS_ALONE, ANSWERS = "labels alone", "answers of mn04_as that learnt the labels"
FEATURES = {f"features of {name}": name for name in settings.TEACHERS}
ARMS = (LABELS_ALONE, *FEATURES, ANSWERS)
BATCH = 32  # clips scored together


class Students(Runs):
    """The runs of the students' part."""

    def searched(self, tasks: list[str], arms: list[str]) -> None:
        """Candidates, taught and learnt without the training fold and speaker ``HELD``, tested on that one."""
        for task in tasks:
            train = [fold for fold in honest_folds(task)[0] if fold != settings.HELD]
            rows, part = few(split_rows(self.clips[task], train, [settings.HELD]), seed=1), "student search"
            split, options = f"fold {settings.HELD}", settings.STUDENTS[task]
            for arm in arms:
                if arm == ANSWERS:
                    self.answered((part, arm, task, split, 1), rows, without=[settings.HELD])
                    continue
                start = UNTAUGHT if arm == LABELS_ALONE else self.start(arm, without=[settings.HELD])
                for name, values in settings.STUDENT_CANDIDATES.items():
                    self.tested((part, f"{arm}, {name}", task, split, 1), rows, {**options, **values}, **start)
                if arm != LABELS_ALONE:
                    self.tested((part, f"{arm}, frozen", task, split, 1), rows, settings.HEAD, **start)

    def measured(self, seeds: list[int], arms: list[str], tasks: list[str]) -> None:
        """Each arm on the test folds and speakers."""
        for seed in seeds:
            for arm in arms:
                for task in tasks:
                    rows = few(split_rows(self.clips[task], *honest_folds(task)), seed)
                    name = ("students", arm, task, "test", seed)
                    if arm == ANSWERS:
                        self.answered(name, rows)
                    elif arm == LABELS_ALONE:
                        self.tested(name, rows, settings.STUDENTS[task], **UNTAUGHT)
                    else:
                        self.tested(name, rows, settings.HEAD, **self.start(arm))

    # ---- a teacher's features

    def start(self, arm: str, without: Sequence[int] = ()) -> dict[str, str]:
        return {"model": str(self.distilled(FEATURES[arm], without))}

    def distilled(self, teacher: str, without: Sequence[int] = ()) -> Path:
        """The student that learnt a teacher's features on the pool without labels, once for all seeds of the labels."""
        stem = "-".join(["taught", teacher, *map(str, without)]).replace(" ", "_")
        run = self.folder / "runs" / stem
        options = {**settings.DISTILLED, **settings.TEACHERS[teacher], "seed": 0}
        table = write_table(pool_rows(self.clips, without), self.folder / "tables" / f"pool-{stem}.csv")
        if options["teacher"] == settings.MODEL:
            options["teacher_weights"] = (str(self.shared / settings.WEIGHTS),)
        else:
            options["teacher"] = str(self.answers(self.small_encoder(), pool_rows(self.clips), "answers"))
        distil(table, run, options)
        return run

    def answers(self, encoder: Path, rows: list[Row], name: str) -> Path:
        """The store of an encoder's answers to recordings; one that was stopped is continued."""
        table, store = write_table(rows, self.folder / "tables" / f"{name}.csv"), self.folder / name
        auricle_command("prepare", "teacher", str(table), "--model", str(encoder), "--out", str(store), "--quiet")
        return store

    def small_encoder(self) -> Path:
        """The encoder of the preset small on the pool."""
        run, data = self.folder / "small-encoder", prepared_pool(self.shared, "honest", self.folder)

        def start() -> None:
            auricle_command("pretrain", str(data), "--method", "msm-mae", *settings.PRETRAIN, "--out", str(run))

        finished("pretrain", run, start)
        return run

    # ---- a teacher that learns the labelled clips first, and answers for the others

    def answered(self, name: tuple[str, str, str, str, int], rows: list[Row], without: Sequence[int] = ()) -> None:
        """Teach the published network the labelled clips; teach a student its logits on all others; score both."""
        if self.results.have(*name):
            return
        part, arm, task, split, seed = name
        teacher = self.folder / "runs" / "-".join(map(str, ("teacher", part, task, split, seed))).replace(" ", "_")
        if not (teacher / "card.md").is_file():
            table = write_table(rows, self.folder / "tables" / f"{teacher.name}.csv")
            options, began = {**settings.TAUGHT_TEACHER[task], **self.published, "seed": seed}, time.monotonic()
            shutil.rmtree(teacher, ignore_errors=True)  # of a run that was killed
            learnt = auricle.finetune(table, out=teacher, quiet=True, **options)
            test, seconds = sum(row["split"] == "test" for row in rows), time.monotonic() - began
            own = (part, f"{arm}: the teacher itself", task, split, seed)
            self.results.add(Result(*own, learnt.test["accuracy"], test, seconds))
        run = self.folder / "runs" / f"answered-{teacher.name}"
        pool = [row for row in pool_rows(self.clips, without) if row["id"].startswith(task)]
        table, began = write_table(pool, self.folder / "tables" / f"{run.name}.csv"), time.monotonic()
        store = self.answers(teacher, pool, f"answers-{teacher.name}")
        distil(table, run, {**settings.ANSWERED, "teacher": str(store), "seed": seed})
        test_rows = [row for row in rows if row["split"] == "test"]
        self.results.add(Result(*name, accuracy(run, test_rows), len(test_rows), time.monotonic() - began))


def distil(table: Path, run: Path, options: dict[str, Any]) -> None:
    def start() -> FinetuneResult:
        return auricle.distill(table, model=settings.STUDENT, out=run, quiet=True, **options)

    finished("distill", run, start)


def accuracy(run: Path, rows: Sequence[Row]) -> float:
    """Share of the clips whose label has the largest logit. The clips have one length."""
    encoder, right = auricle.load(str(run)).eval(), 0
    assert encoder.info.label_space is not None
    names = encoder.info.label_space.names
    for place in range(0, len(rows), BATCH):
        part = rows[place : place + BATCH]
        waves = np.stack([read(Path(row["path"]), rate=RATE).wave for row in part])
        with torch.no_grad():
            logits = encoder(torch.from_numpy(waves)).logits
        assert logits is not None
        right += sum(names[int(best)] == row["label"] for best, row in zip(logits.argmax(1), part))
    return right / len(rows)
