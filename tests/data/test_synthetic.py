"""The synthetic corpus: every clip a function of its key, real files, a fair manifest, neither trivial nor hopeless."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.data.synthetic.corpus import CLASSES, ClipRecipe, make_corpus, synthesise

QUICK = ClipRecipe(seconds=1.0)
FEW = ("rain", "bell", "typing")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Ten clips of 1.5 s of every class; the path of the manifest."""
    return make_corpus(tmp_path_factory.mktemp("corpus"), clips_per_class=10, seconds=1.5, quiet=True)


def small(out: Path, **options) -> Path:
    return make_corpus(out, **{"clips_per_class": 4, "seconds": 0.5, "classes": FEW, "quiet": True, **options})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_there_are_at_least_sixteen_classes():
    assert len(set(CLASSES)) >= 16


@pytest.mark.parametrize("name", CLASSES)
def test_a_clip_is_finite_within_full_scale_and_not_silent(name):
    for index in range(4):
        wave = synthesise(name, index, QUICK)
        assert wave.shape == (16000,)
        assert wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() <= 1
        assert np.sqrt(np.mean(wave**2)) > 1e-3


@pytest.mark.parametrize("name", CLASSES)
def test_a_clip_is_the_same_every_time_and_differs_from_the_next_and_from_another_seed(name):
    first = synthesise(name, 3, QUICK)
    assert np.array_equal(first, synthesise(name, 3, QUICK))
    assert not np.allclose(first, synthesise(name, 4, QUICK))
    assert not np.allclose(first, synthesise(name, 3, ClipRecipe(seed=1, seconds=1.0)))


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "seconds"), [(8000, 0.5), (44100, 0.7), (32000, 2.3)])
def test_every_class_works_at_any_rate_and_length(rate, seconds):
    for name in CLASSES:
        wave = synthesise(name, 0, ClipRecipe(rate=rate, seconds=seconds))
        assert wave.shape == (round(rate * seconds),)
        assert np.isfinite(wave).all()
        assert 0 < np.abs(wave).max() <= 1


@pytest.mark.slow
def test_the_corpus_is_the_same_whatever_the_number_of_workers(tmp_path):
    small(tmp_path / "alone")
    small(tmp_path / "two", workers=2)
    assert contents(tmp_path / "alone") == contents(tmp_path / "two")


def test_more_clips_and_other_classes_leave_a_clip_as_it_was(tmp_path):
    small(tmp_path / "few")
    small(tmp_path / "many", clips_per_class=6, classes=("wind", *FEW))
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    assert all(many[name] == data for name, data in few.items() if name.endswith(".flac"))


def test_a_second_run_keeps_the_files_and_makes_only_the_missing(tmp_path):
    manifest = small(tmp_path)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    lost = tmp_path / "bell" / "bell-0002.flac"
    lost.unlink()
    assert small(tmp_path) == manifest
    assert contents(tmp_path) == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path != lost)


def test_a_folder_of_another_recipe_is_refused(tmp_path):
    small(tmp_path)
    with pytest.raises(AuricleError, match="another folder"):
        small(tmp_path, seed=1)


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "manifest.csv").write_text("mine")
    with pytest.raises(AuricleError, match="is not a synthetic corpus"):
        small(tmp_path)
    assert contents(tmp_path) == {"manifest.csv": b"mine"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": ["ran"]}, "did you mean rain"),
        ({"classes": []}, "at least one"),
        ({"clips_per_class": 0}, "at least one"),
        ({"folds": 0}, "at least one"),
        ({"seconds": 0.01}, "seconds|0.5"),
        ({"rate": 100}, "8000 Hz"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(AuricleError, match=message):
        small(tmp_path / "never", **wrong)
    assert not (tmp_path / "never").exists()


def test_the_manifest_names_real_files_of_the_stated_length_and_rate(corpus):
    manifest = read_manifest(corpus)
    for clip in manifest.clips[::7]:
        info = soundfile.info(manifest.audio(clip))
        assert (info.frames, info.samplerate, info.channels) == (clip.num_samples, clip.rate, 1)


def test_reading_the_folder_without_its_manifest_gives_the_same_ids_and_labels(tmp_path):
    manifest = read_manifest(small(tmp_path))
    (tmp_path / "manifest.csv").unlink()
    assert {c.id: c.labels for c in read_manifest(tmp_path)} == {c.id: c.labels for c in manifest}


def test_every_class_has_as_many_clips_in_every_fold(corpus):
    counts = Counter((clip.labels, clip.fold) for clip in read_manifest(corpus))
    assert len(counts) == 5 * len(CLASSES)
    assert set(counts.values()) == {2}


@pytest.mark.slow
def test_making_sounds_does_not_import_torch():
    code = "import sys, auricle.data.synthetic.corpus; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_time_mean_of_log_mel_separates_the_classes_only_in_part(corpus):
    """A small corpus and so a wide band; ``python -m benchmarks.synthetic_corpus`` measures the real one."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from auricle.frontends.base import front_end

    manifest = read_manifest(corpus)
    waves = np.stack([soundfile.read(manifest.audio(clip), dtype="float32")[0] for clip in manifest])
    mean = front_end("m2d-logmel/16k")(torch.from_numpy(waves)).mean(-1).numpy()
    labels, folds = [clip.labels[0] for clip in manifest], [clip.fold for clip in manifest]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    score = cross_val_score(model, mean, labels, cv=PredefinedSplit(folds)).mean()
    assert 0.25 < score < 0.85
