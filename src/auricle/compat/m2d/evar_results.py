"""The files of EVAR's fine-tuning: the best weights under their published names, a table of clips, and one of scores."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.compat.original_run import EpochRows, note_original
from auricle.core.io import make_folder, writing
from auricle.data.manifest.manifest import TEST_SPLITS, Manifest
from auricle.training.callbacks import Callback

if TYPE_CHECKING:
    from auricle.compat.scored_clips import ScoredClips
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.base import TrainProgress
    from auricle.models.base import Encoder
    from auricle.training.loop import Trainer
    from auricle.training.run import CallbackFactory, RunParts

SCORES = Path("results") / "ft-scores.csv"
COLUMNS = ("representation", "task", "score", "run_id", "report")
BANDS = 80  # mel bands of M2D
NATIVE = "heads.main."  # the head of ``Encoder.with_head``, under the names of the family's own below


def evar_weights(parts: RunParts, run: RunFolder) -> list[Callback]:
    """Return the callback that saves the best weights under EVAR's name."""
    note_original(run.path, "m2d")
    return [EvarWeights(run)]


def continued(line: dict[str, Any]) -> tuple[CallbackFactory, ...]:
    """Return the factories for a run that goes on."""
    return (evar_weights,)


class EvarWeights(Callback):
    """Save ``weights_ep<epoch>it<iteration>-<score>_loss<loss>.pth`` when an epoch is the best, and remove the one before."""

    def __init__(self, run: RunFolder):
        self.folder, self.rows = run.path, EpochRows(run.metrics)

    def on_log(self, row: dict[str, Any]) -> None:
        self.rows.add(row)

    def on_epoch_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        rows = self.rows.take()
        scores = next((row for row in reversed(rows) if row["kind"] == "validation"), None)
        if scores is None or trainer.best_epoch != progress.epoch:
            return
        loss = next((row["loss"] for row in reversed(rows) if row["kind"] == "step"), float("nan"))
        name = weights_name(progress, trainer.length.per_epoch, scores[f"val_{trainer.objective.best_by[0]}"], loss)
        save_weights(trainer.objective.encoder(), self.folder / name)
        for path in self.folder.glob("weights_ep*.pth"):
            if path.name != name:
                path.unlink()


def weights_name(progress: TrainProgress, iterations: int, score: float, loss: float) -> str:
    """Return the name of the best weights; epoch and iteration count from 0."""
    return f"weights_ep{round(progress.epoch) - 1}it{iterations - 1}-{score:.5f}_loss{loss:.4f}.pth"


def save_weights(encoder: Encoder, path: Path) -> None:
    """Write an encoder with its head in the layout of EVAR's program ([m2d 6.2](docs/specification/m2d.md#s6-2))."""
    from auricle.hub.convert.m2d import m2d_content
    from auricle.hub.pickles import write_pickle

    state = {name: value.detach().cpu() for name, value in encoder.state_dict().items()}
    renamed = {f"online.{own_head_name(name)}": value for name, value in state.items()}
    write_pickle(m2d_content(renamed)[0], path)


def own_head_name(name: str) -> str:
    """Return the family's name of a tensor of the head: ``heads.main.mlp.0.weight`` is ``head.linear.weight``."""
    if not name.startswith(NATIVE):
        return name
    return "head." + name.removeprefix(NATIVE).replace("mlp.0.", "linear.")


# ---- scores


def write_clips(run: Path, manifest: Manifest, seconds: float, name: str) -> Path:
    """Write the predictions of the clips whose score is reported: GT and prediction, or ap, auc and class."""
    from auricle.hub.load import load

    encoder = load(run)
    scored = scored_part(encoder, manifest, seconds, 16)
    path = run / name
    rows = class_rows(scored) if encoder.info.label_type == "multilabel" else clip_rows(scored)
    with writing(path), path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def clip_rows(scored: ScoredClips) -> list[list[Any]]:
    """Return the rows of a single-label task: index, true and predicted class."""
    pairs = zip(scored.labels.argmax(1), scored.logits.argmax(1))
    rows = [[number, scored.classes[true], scored.classes[guess]] for number, (true, guess) in enumerate(pairs)]
    return [["", "GT", "prediction"], *rows]


def class_rows(scored: ScoredClips) -> list[list[Any]]:
    """Return the rows of a multi-label task: index, average precision, area under the ROC curve, class."""
    from auricle.metrics.classification import average_precision_per_class, roc_auc_per_class

    values = zip(
        average_precision_per_class(scored.logits, scored.labels),
        roc_auc_per_class(scored.logits, scored.labels),
        scored.classes,
    )
    return [["", "ap", "auc", "class"], *([number, *row] for number, row in enumerate(values))]


def score_weights(
    file: str, manifest: Manifest, seconds: float, batch_size: int, frames: int | None = None
) -> tuple[str, float]:
    """Return the metric and the score of fine-tuned weights on the test part.

    Args:
        frames: length of the inputs for which the positions in the file were resized (``dur_frames``); None: they were not.
    """
    from auricle.core.errors import AuricleError
    from auricle.hub.load import load
    from auricle.metrics.table import default_metric, metric

    encoder, classes = load(file, input_size=f"{BANDS}x{frames}" if frames else None), manifest.label_classes()
    encoder = encoder.with_duration(frames) if frames else encoder
    if encoder.num_classes() != len(classes):
        raise AuricleError(f"{file} has {encoder.num_classes() or 'no'} classes, the task {len(classes)}")
    scored = scored_part(encoder, manifest, seconds, batch_size)
    kind = "multiclass" if all(len(clip.labels) == 1 for clip in manifest) else "multilabel"
    chosen = metric(default_metric(kind), kind)
    return chosen.name, chosen(scored.logits, scored.labels)


def scored_part(encoder: Encoder, manifest: Manifest, seconds: float, batch_size: int) -> ScoredClips:
    """Score the test part, or the validation part where there is no other."""
    from auricle.compat.scored_clips import score_clips

    names = {clip.split for clip in manifest}
    wanted = [name for name in TEST_SPLITS if name in names] or ["valid"]
    return score_clips(encoder, manifest.select(split=wanted), seconds=seconds, batch_size=batch_size)


def append_score(task: str, representation: str, score: float, run_id: str, report: str) -> None:
    """Append a row to ``results/ft-scores.csv``."""
    values = (representation, task, f"{score:.5f}", run_id, report)
    append_row(SCORES, dict(zip(COLUMNS, values)))


def append_row(table: Path, row: dict[str, Any]) -> None:
    """Append a row to a table of scores, which begins with the names of its columns."""
    make_folder(table.parent)
    new = not table.exists()
    with writing(table), table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
