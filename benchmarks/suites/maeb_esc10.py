"""ESC-10, the recordings beside the checkout, as a task of mteb: every fold is a subset, tested with clips of the others."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from datasets import Audio, Dataset, DatasetDict
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.task_metadata import TaskMetadata

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "esc10"
FOLDS = ("1", "2", "3", "4", "5")


class Esc10(AbsTaskClassification):
    """Classes of ESC-10 by mteb's probe: logistic regression on eight clips per class, drawn ten times."""

    metadata = TaskMetadata(
        name="ESC10Folds",
        description="Ten classes of sounds of ESC-50; every fold holds clips of other recordings.",
        dataset={"path": "shared/data/esc10", "revision": "1"},
        type="AudioClassification",
        category="a2c",
        eval_splits=["test"],
        eval_langs={f"fold{fold}": ["zxx-Zxxx"] for fold in FOLDS},
        main_score="accuracy",
        modalities=["audio"],
    )
    input_column_name = "audio"

    def load_data(self, **options: Any) -> None:
        with (FOLDER / "meta.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.dataset = {
            f"fold{fold}": DatasetDict(
                train=_clips([row for row in rows if row["fold"] != fold]),
                test=_clips([row for row in rows if row["fold"] == fold]),
            )
            for fold in FOLDS
        }
        self.data_loaded = True


def _clips(rows: list[dict[str, str]]) -> Dataset:
    values = {
        "audio": [str(FOLDER / "audio" / row["filename"]) for row in rows],
        "label": [int(row["target"]) for row in rows],
    }
    return Dataset.from_dict(values).cast_column("audio", Audio())
