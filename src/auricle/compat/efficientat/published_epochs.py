"""What EfficientAT's training programs report of an epoch: a line, a record for W&B, and the latest weights.

Keys, file names and their quirks: [efficientat_training 11](docs/specification/efficientat_training.md#s11). Differences: the loss
of validation clips is their mean (the original averages the means of batches), and metrics are means over the classes that have
a positive clip (the original counts classes without one as 0).
"""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from auricle.compat.efficientat.programs import ProgramLine
from auricle.compat.efficientat.settings import ONE_LABEL
from auricle.compat.original_run import EpochRows, mean_of, note_original
from auricle.training.callbacks import Callback

if TYPE_CHECKING:
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.base import TrainProgress
    from auricle.methods.config import TrainConfig
    from auricle.models.efficientat.encoder import EfficientAT
    from auricle.training.loop import Trainer
    from auricle.training.run import CallbackFactory, RunParts

PROJECTS = {  # of W&B
    "ex_audioset": "EfficientAudioTagging",
    "ex_pl_audioset": "EfficientAudioTagging",
    "ex_dcase20": "DCASE20",
    "ex_fsd50k": "FSD50K",
    "ex_esc50": "ESC50",
    "ex_openmic": "OpenMic",
}
DATA_TAGS = {
    "ex_audioset": "as",
    "ex_dcase20": "dcase",
    "ex_fsd50k": "fsd50k",
    "ex_esc50": "esc50",
    "ex_openmic": "openmic",
}  # in file names; ex_pl_audioset leaves the checkpoints of the run alone
LIGHTNING = {
    "train/loss": "train_loss",
    "train/label_loss": "label_loss",
    "train/kd_loss": "distillation_loss",
    "val/loss": "val_loss",
    "val/ap": "mAP",
    "val/roc": "ROC",
}


def published_epochs(line: ProgramLine) -> CallbackFactory:
    """Return the factory of the callback for a line."""

    def make(parts: RunParts, run: RunFolder) -> list[Callback]:
        note_original(run.path, "efficientat", **asdict(line))
        watch = start_wandb(line, run.path) if line.wandb is not None else None
        return [PublishedEpochs(line, parts.config.train, run, watch)]

    return make


def continued(line: dict[str, Any]) -> tuple[CallbackFactory, ...]:
    """Return the factories for a run that goes on. ``line``: what was noted of the line that began it."""
    names = {field.name for field in fields(ProgramLine)}
    return (published_epochs(ProgramLine(**{name: value for name, value in line.items() if name in names})),)


class PublishedEpochs(Callback):
    """A callback that prints the line of an epoch, saves the weights in the published layout, and logs to W&B.

    Args:
        line: the command line.
        train: settings of the loop.
        run: the run folder.
        watch: run of W&B; None: no logging there.
    """

    def __init__(self, line: ProgramLine, train: TrainConfig, run: RunFolder, watch: Any = None):
        self.line, self.train, self.folder, self.watch = line, train, run.path, watch
        self.rows = EpochRows(run.metrics)

    def on_log(self, row: dict[str, Any]) -> None:
        self.rows.add(row)

    def on_epoch_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        from auricle.training.optimizers import rate_at

        number = round(progress.epoch) - 1  # from 0, as in the file names of the original
        places = trainer.length.at(trainer.micro_step - 1), progress
        rates = published_rates(self.line, *(rate_at(place, self.train, trainer.peak_lr) for place in places))
        record = epoch_record(self.line, self.rows.take(), rates)
        metric = "accuracy" if self.line.script in ONE_LABEL else "mAP"
        shown = f"{metric}: {record_value(record, metric):.4f}, val_loss: {record_value(record, 'val_loss'):.4f}"
        trainer.console.log(f"Epoch {number + 1}/{self.train.epochs}: {shown}")
        if self.line.script in DATA_TAGS:
            self.save(trainer, weight_name(self.line, number, record_value(record, metric), width_of(trainer)))
        if self.watch is not None:
            self.watch.log(record)

    def save(self, trainer: Trainer, name: str) -> None:
        """Save the state dict, and remove that of the epoch before."""
        from auricle.hub.convert.efficientat import to_published
        from auricle.hub.pickles import write_pickle

        state = {key: value.detach().cpu() for key, value in trainer.objective.encoder().state_dict().items()}
        write_pickle(to_published(state), self.folder / name)
        for path in self.folder.glob(f"mn*_{DATA_TAGS[self.line.script]}_epoch_*.pt"):
            if path.name != name:
                path.unlink()

    def on_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        if self.watch is not None:
            self.watch.finish()


def start_wandb(line: ProgramLine, folder: Path) -> Any:
    """Start a run of W&B as the program does: its project and name, and all arguments as the configuration."""
    from auricle.training.log import import_wandb

    project, name = line.wandb or PROJECTS[line.script], line["experiment_name"]
    return import_wandb().init(project=project, name=name, config=dict(line.values), dir=str(folder.resolve()))


def epoch_record(line: ProgramLine, rows: list[dict[str, Any]], rates: dict[str, float]) -> dict[str, float]:
    """Return the values of an epoch under the keys that the program logs.

    Args:
        rows: rows of the log of this epoch.
        rates: learning rates under the program's keys.
    """
    validation: dict[str, Any] = next((row for row in reversed(rows) if row["kind"] == "validation"), {})
    scores = {
        "mAP": validation.get("val_mAP", math.nan),
        "ROC": validation.get("val_roc_auc", math.nan),
        "accuracy": validation.get("val_accuracy", math.nan),
        "val_loss": validation.get("val_loss", math.nan),
    }
    losses = {"train_loss": mean_of(rows, "loss")}
    if "kd_lambda" in line.values:
        taught = bool(line["kd_lambda"])
        losses["label_loss"] = mean_of(rows, "label_loss") if taught else losses["train_loss"]
        losses["distillation_loss"] = mean_of(rows, "distillation_loss") if taught else 0.0
    names = ("accuracy", "val_loss") if line.script in ONE_LABEL else ("mAP", "ROC", "val_loss")
    record = {**losses, **rates, **{name: scores[name] for name in names}}
    if line.script == "ex_pl_audioset":
        return {theirs: record[name] for theirs, name in LIGHTNING.items()} | rates
    return record


def record_value(record: dict[str, float], name: str) -> float:
    """Return a value of a record, under Lightning's key where it has those."""
    keys = [name, *(theirs for theirs, ours in LIGHTNING.items() if ours == name)]
    return next((record[key] for key in keys if key in record), math.nan)


def published_rates(line: ProgramLine, lr: float, next_lr: float) -> dict[str, float]:
    """Return the learning rates that a program logs, by key.

    Args:
        lr: of this epoch; Lightning's monitor logs it, under the name of the optimiser.
        next_lr: of the next epoch, which the other programs read.
    """
    if line.script == "ex_pl_audioset":
        return {f"lr-{'AdamW' if line['adamw'] else 'Adam'}": lr}
    if line.script in ONE_LABEL and line.generation == 2024:
        return {}
    base = line.get("lr") or line.get("max_lr")
    features = line.get("features_lr") or base
    if line.script not in ONE_LABEL:
        return {"learning_rate": next_lr * features / base}
    classifier = line["classifier_lr"] or base
    parts = {"features_lr": features, "classifier_lr": classifier, "last_layer_lr": line["last_layer_lr"] or classifier}
    return {name: next_lr * rate / base for name, rate in parts.items()}


def weight_name(line: ProgramLine, epoch: int, score: float, width: float) -> str:
    """Return the name of the latest weights.

    Args:
        epoch: from 0.
        score: mAP or accuracy.
        width: of the network; generation 2023 writes that of ``--model_width`` in all programs but FSD50K's.
    """
    old = line.generation == 2023
    if old and line.script != "ex_fsd50k":
        width = line["model_width"]
    accuracy = line.script in ONE_LABEL
    tag = "acc" if accuracy and not old else "mAP"
    value = "nan" if math.isnan(score) else str(round((100 if accuracy and old else 1000) * score))
    return f"mn{str(float(width)).replace('.', '')}_{DATA_TAGS[line.script]}_epoch_{epoch}_{tag}_{value}.pt"


def width_of(trainer: Trainer) -> float:
    """Return the width multiplier of the network."""
    return cast("EfficientAT", trainer.objective.encoder()).config.width
