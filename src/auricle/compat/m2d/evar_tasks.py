"""The clips of EVAR's tasks: from EVAR's own tables and folders, or from the official folder of the data set.

Tables are ``evar/metadata/<task>.csv`` (file_name, label, split or fold), audio stands in ``work/16k/<task>``, the log-mel
files of the task ``as`` below ``--data_path``; all of them start at the folder of the environment variable EVAR, else at the
working directory ([evaluation 1](docs/specification/evaluation.md#s1)).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from auricle.compat.datasets import read_dataset
from auricle.compat.m2d.evar_options import FinetuneLine
from auricle.core.errors import AuricleError, nearest
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS, Manifest
from auricle.data.published.folders import dataset_folder
from auricle.data.stores.npy import card_of, write_card

LOG_MEL = "as"  # the task that reads stored log-mel spectrograms
WEIGHT_OFFSET = 0.01  # of drawing by weight ([evaluation 1.3](docs/specification/evaluation.md#s1-3))


@dataclass(frozen=True)
class EvarTask:
    """A task.

    Attributes:
        seconds: length of a clip.
        dataset: the published data set that it is made of; "": EVAR's own table is needed.
        folder: name of its folder; "": the data set's name.
    """

    seconds: float
    dataset: str = ""
    folder: str = ""


@cache
def tasks() -> dict[str, EvarTask]:
    """Return the tasks by name: those of the suite ``evar``."""
    from auricle.evaluation.suites.probe_tasks import ProbeTask
    from auricle.evaluation.suites.read import read_suite

    records = [task for task in read_suite("evar").tasks if isinstance(task, ProbeTask)]
    return {task.name: EvarTask(task.task.seconds or 0.0, task.dataset, task.folder) for task in records}


def find_task(name: str) -> EvarTask:
    """Return the task of a name. Raises AuricleError, with the nearest name, for an unknown one."""
    if name not in tasks():
        raise AuricleError(f"there is no task '{name}'{nearest(name, tuple(tasks()))}")
    return tasks()[name]


def seconds_of(line: FinetuneLine) -> float:
    """Return the length of a clip in seconds."""
    return line.flags["unit_sec"] or find_task(line.task).seconds


def read_task(line: FinetuneLine) -> Manifest:
    """Return the clips of a task.

    Raises:
        AuricleError: the data are not there; the message says where they are expected.
    """
    task, home = find_task(line.task), Path(os.environ.get("EVAR") or ".")
    table = home / "evar" / "metadata" / f"{line.task}.csv"
    if line.task == LOG_MEL:
        return log_mel_clips(line, table)
    audio = home / "work" / f"{line.config['sample_rate'] // 1000}k" / line.task
    if line.dataset_dir is None and table.is_file() and audio.is_dir():
        return read_manifest(table, root=audio)
    if not task.dataset:
        raise AuricleError(
            f"the task {line.task} needs EVAR's table {table} and its recordings in {audio}; the variable EVAR names another "
            "folder to start from"
        )
    folder = dataset_folder(task.dataset, line.dataset_dir, "--dataset_dir", name=task.folder)
    manifest = read_dataset(task.dataset, folder)
    return replace(manifest, classes=sorted_classes(manifest) if task.dataset.startswith("audioset") else None)


def sorted_classes(manifest: Manifest) -> tuple[str, ...]:
    """Return AudioSet's classes in EVAR's order, that of their machine ids: the order of the logits of published weights."""
    from auricle.data.audioset import audioset_classes_by_id

    present = set(manifest.label_classes())
    return tuple(name for _, name in audioset_classes_by_id() if name in present)


def log_mel_clips(line: FinetuneLine, table: Path) -> Manifest:
    """Return the log-mel files of AudioSet with the weights by which they are drawn.

    ``<data_path>/<file_name>`` has ``.npy`` in place of ``.wav`` ([finetuning 2.2](docs/specification/finetuning.md#s2-2)).
    """
    root = Path(line.flags["data_path"])
    if not table.is_file() or not root.is_dir():
        raise AuricleError(
            f"the task as needs EVAR's table {table} and the log-mel files of AudioSet below {root}: name their folder by "
            "--data_path FOLDER, and by the variable EVAR the folder of evar/metadata. 'auricle prepare lms' makes the files"
        )
    listed, rate = read_manifest(table, root=root), line.config["sample_rate"]
    length = {"rate": rate, "num_samples": round(seconds_of(line) * rate)}  # nominal, so that no file is opened for it
    names = [Path(clip.path or clip.id).with_suffix(".npy").as_posix() for clip in listed]
    clips = [replace(clip, path=None, store="", key=name, **length) for clip, name in zip(listed, names)]
    return with_weights(replace(listed, clips=clips))


def with_weights(manifest: Manifest) -> Manifest:
    """Return the clips with the weight of drawing: the sum of 1000 / (0.01 + n_c) over their classes, to the power 1 / 1.5."""
    from auricle.data.audioset import clip_weights

    training = manifest.table.take(manifest.in_splits(("", *TRAINING_SPLITS)))
    weigh = clip_weights((labels or () for labels in training.values("labels")), WEIGHT_OFFSET)
    return replace(manifest, clips=[replace(clip, weight=weigh(clip.labels)) for clip in manifest])


def write_task(manifest: Manifest, line: FinetuneLine, path: Path) -> None:
    """Write the manifest of a run. Spectrograms without a ``prepare.json`` are those of M2D's converter, and that is noted."""
    write_manifest(manifest, path)
    if line.task == LOG_MEL and card_of(manifest) is None:
        write_card(path.parent, {"front_end": f"m2d-logmel/{line.config['sample_rate'] // 1000}k"})


def task_parts(manifest: Manifest) -> list[Manifest]:
    """Return the clips of every run of a task, with the splits train, valid and test.

    A task with folds has a run per fold. Without a validation part the test part chooses the best epoch, and there is no test
    part then ([finetuning 7](docs/specification/finetuning.md#s7)).
    """
    folds = sorted({fold for fold in manifest.table.values("fold") if fold is not None})
    if folds:
        return [
            _with_splits(manifest, ["valid" if clip.fold == fold else "train" for clip in manifest]) for fold in folds
        ]
    names = [(clip.split or "train").lower() for clip in manifest]
    parts = dict.fromkeys(TRAINING_SPLITS, "train") | dict.fromkeys(VALIDATION_SPLITS, "valid")
    held = "test" if set(names) & set(VALIDATION_SPLITS) else "valid"
    return [_with_splits(manifest, [(parts | dict.fromkeys(TEST_SPLITS, held)).get(name, name) for name in names])]


def _with_splits(manifest: Manifest, splits: list[str]) -> Manifest:
    clips = [replace(clip, split=split, fold=None) for clip, split in zip(manifest, splits)]
    return replace(manifest, clips=clips, classes=manifest.label_classes())
