"""A task is the same where its clips, labels, split and seconds are, whatever the folder is called."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.evaluation.compare import compare, compare_evaluations, same_task
from auricle.evaluation.evaluation import Evaluation
from auricle.evaluation.identity import TaskIdentity, task_identity
from auricle.evaluation.results import ResultsStore, record
from auricle.evaluation.runner import evaluate
from auricle.evaluation.splits import make_splits
from auricle.evaluation.targets import class_targets
from auricle.evaluation.tasks import Task
from helpers.encoders import logmel_stats
from helpers.evaluation_data import CLASSES, corpus
from helpers.sounds import tone, write_sound


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("monday") / "prepared")


def identity(manifest: Manifest, split_by: str = "auto", seconds: float | None = 0.2, **more) -> TaskIdentity:
    targets = class_targets(manifest)
    return task_identity(manifest, targets.values, make_splits(manifest, targets, split_by), seconds, **more)


def changed(manifest, row: int = 0, **change):
    clips = list(manifest)
    clips[row] = replace(clips[row], **change)
    return replace(manifest, clips=tuple(clips))


def test_a_moved_copy_of_a_data_set_is_the_same_task(manifest, tmp_path):
    shutil.copytree(manifest.root, tmp_path / "elsewhere" / "sounds")
    moved = [replace(c, id=f"sounds/{c.id}", path=f"sounds/{c.path}") for c in manifest]
    other = identity(Manifest(tuple(reversed(moved)), tmp_path / "elsewhere"))
    assert other.fingerprint == identity(manifest).fingerprint
    assert other.differences(identity(manifest)) == []


def test_whatever_makes_another_task_is_told(manifest):
    own = identity(manifest)
    fewer = replace(manifest, clips=manifest.clips[:-1])
    others = {
        "18 tested clips against 17": identity(fewer),
        "other labels": identity(changed(manifest, labels=("low",))),
        "another split": identity(changed(changed(manifest, 0, fold=2), 1, fold=1)),
        "0.2 s against whole clips": identity(manifest, seconds=None),
        "fold 1, fold 2, fold 3 against": identity(manifest, "groups"),
        "other recordings": identity(changed(manifest, end=0.1)),
    }
    for words, other in others.items():
        assert other.fingerprint != own.fingerprint
        assert words in "; ".join(own.differences(other))


def test_other_recordings_under_the_same_names_are_another_task(manifest, tmp_path):
    """The same file names, labels, folds, lengths and sizes: only the sound differs."""
    shutil.copytree(manifest.root, tmp_path / "prepared")
    for i, clip in enumerate(manifest):
        write_sound(tmp_path / "prepared" / clip.path, tone(0.25, 16000, 200.0 + 90 * i))
    other = identity(replace(manifest, root=tmp_path / "prepared"))
    assert identity(manifest).differences(other) == ["other recordings"]


def test_one_data_set_at_two_sample_rates_is_one_task_by_its_ids(manifest, tmp_path):
    for clip in manifest:
        write_sound(tmp_path / clip.path, tone(0.25, 32000, 300.0), 32000)
    other = replace(manifest, root=tmp_path)
    assert identity(manifest, by_id=True) == identity(other, by_id=True)


def test_clips_whose_files_are_gone_are_told_apart_by_their_ids(manifest, tmp_path):
    gone = replace(manifest, root=tmp_path / "no")
    assert identity(gone) == identity(gone, by_id=True)
    assert identity(gone).differences(identity(manifest)) == ["other recordings"]


@pytest.fixture(scope="module")
def measured(manifest, tmp_path_factory):
    """Evaluations of two data sets in folders of one name; the second has two classes more."""
    folder = tmp_path_factory.mktemp("tuesday") / "prepared"
    other = corpus(folder)
    others = [replace(c, labels=("hum",)) if c.fold == 1 and c.labels == ("low",) else c for c in other]
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache"))
    task = Task("", name="prepared", seconds=0.2)
    return [
        evaluate(logmel_stats(), task, manifest=m, cache=cache) for m in (manifest, replace(other, clips=tuple(others)))
    ]


def named(evaluation: Evaluation, model: str) -> Evaluation:
    return replace(evaluation, score=replace(evaluation.score, model=model))


def test_two_data_sets_in_folders_of_one_name_are_not_compared(measured, tmp_path):
    store = ResultsStore(tmp_path / "results.sqlite")
    for name, evaluation in zip("ab", measured, strict=True):
        record(named(evaluation, name), store)
    with pytest.raises(AuricleError, match=r"two different tasks are called 'prepared'.*3 tested classes against 4"):
        compare(store.select(), "a", "b")
    with pytest.raises(AuricleError, match="not compared"):
        compare_evaluations(*measured)
    assert not same_task(*measured)
    record(named(measured[0], "b"), store)  # measured on the first data set too
    (found,) = compare(store.select(), "a", "b")
    assert (found.a.fingerprint, found.pairs, found.note) == (found.b.fingerprint, 3, "")


def test_one_data_set_under_two_names_is_compared(measured, tmp_path):
    store = ResultsStore(tmp_path / "results.sqlite")
    record(named(measured[0], "a"), store)
    record(replace(named(measured[0], "b"), task="another name"), store)
    assert compare(store.select(), "a", "b")[0].pairs == 3


def test_an_evaluation_of_an_earlier_version_is_known_by_what_it_tested(measured):
    old = [replace(evaluation, identity=None) for evaluation in measured]
    assert same_task(old[0], measured[0])
    assert not same_task(old[0], measured[1])
    assert not same_task(*old)
    assert not same_task(replace(old[0], task="x"), measured[0])


def test_an_identity_survives_json_and_damage():
    known = TaskIdentity(3, 2, "test", "5 s", "a", "b", "c", "d")
    assert TaskIdentity.from_json(known.to_json()) == known
    assert TaskIdentity.from_json({"tested": "x", "new": 1}) == TaskIdentity.from_json(None) == TaskIdentity()


def test_many_groups_are_described_in_a_line(manifest):
    clips = tuple(replace(c, fold=i + 1) for i, c in enumerate(manifest))
    assert identity(replace(manifest, clips=clips)).splits == "fold 1 to fold 18 (18 splits)"
    assert identity(manifest).classes == len(CLASSES)
