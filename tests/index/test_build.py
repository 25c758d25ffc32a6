"""An index follows its recordings: new, changed, moved, deleted and broken ones; its scores and events are those of ``tag``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from auricle.commands.index import build_index, read_status
from auricle.core.errors import AuricleError
from auricle.core.executors.config import ExecutorSettings
from auricle.index import build
from auricle.index.config import IndexConfig
from auricle.index.database import SoundIndex
from auricle.index.window_pass import WindowPass
from auricle.inference.embedder import Embedder
from auricle.inference.tagger import Tagger
from helpers.corpus_workers import KilledOnce
from helpers.encoders import m2d, mn
from helpers.indexes import assert_same, content, encoder, fill, recording


@pytest.fixture
def sounds(tmp_path) -> Path:
    folder = tmp_path / "sounds"
    for number, seconds in enumerate((2.0, 1.1, 0.3)):
        recording(folder / "pond" / f"AM1_20240601_0{number}0000.wav", seconds, 300.0 * (number + 1), number)
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "INDEX"


@pytest.fixture
def encoded(monkeypatch) -> list[str]:
    """The names of the recordings that are encoded."""
    names: list[str] = []
    outcomes = WindowPass.outcomes

    def noted(self, recordings, on_part=None, **options):
        def named():
            for item in recordings:
                names.append(Path(item.path).name)
                yield item

        return outcomes(self, named(), on_part, **options)

    monkeypatch.setattr(WindowPass, "outcomes", noted)
    return names


def counts(report) -> dict[str, int]:
    every = {name: getattr(report, name) for name in ("new", "changed", "moved", "deleted", "unchanged", "others")}
    return {name: count for name, count in every.items() if count}


# ---- what is in it
def test_vectors_are_those_of_the_embedder_and_scores_and_events_those_of_the_tagger(sounds, out):
    model = mn()
    fill(out, sounds, model=model)
    index = SoundIndex.open(out)
    tags = {result.file: result for result in Tagger(model, window=0.5, hop=0.25, top_k=5)(sounds).results}
    vectors = Embedder(model, window=0.5, hop=0.25)(sounds)
    by_id = {
        Path(id.partition("@")[0]).name + "@" + id.partition("@")[2]: v for id, v in zip(vectors.ids, vectors.clip)
    }
    spans = index.spans()
    assert len(spans) == len(by_id) == 12
    scores = index.scores([span.id for span in spans])
    for span, vector in zip(spans, index.vectors([span.id for span in spans])[1]):
        assert np.allclose(vector, by_id[f"{Path(span.path).name}@{span.start:.12g}-{span.end:.12g}"], atol=1e-5)
        (window,) = (w for w in tags[span.path].windows if abs(w.start - span.start) < 1e-9)
        expected = {tag.label: tag.score for tag in window.tags if tag.score >= index.info.min_score}
        assert scores[span.id] == pytest.approx(expected, abs=1e-5)
    for file, result in tags.items():
        found = [(e.label, e.start, e.end, round(e.score, 4)) for e in index.events(file)]
        assert sorted(found) == sorted((e.label, e.start, e.end, round(e.score, 4)) for e in result.events)
    assert index.events()
    assert spans[0].recorder == "AM1"
    assert (spans[0].place, spans[0].began.hour) == ("pond", 0)


def test_thresholds_and_a_rule_of_one_class_decide_about_events_as_in_tag(sounds, out):
    model = encoder(thresholds=(0.5, 0.45, 0.6), thresholds_fitted_on="clips")
    fill(out, sounds, model=model)
    index = SoundIndex.open(out)
    assert [item.threshold for item in index.info.classes] == pytest.approx([0.5, 0.45, 0.6])
    for result in Tagger(model, window=0.5, hop=0.25)(sounds).results:
        found = [(e.label, e.start, e.end, round(e.score, 4)) for e in index.events(result.file)]
        assert sorted(found) == sorted((e.label, e.start, e.end, round(e.score, 4)) for e in result.events)


def test_an_encoder_without_classes_gives_vectors_only(sounds, out):
    report = fill(out, sounds, model=m2d())
    index = SoundIndex.open(out)
    assert (report.new, len(index), index.info.labels, index.events()) == (3, 12, (), [])
    assert "vectors only" in report.notes[0]


@pytest.mark.parametrize(("dtype", "error"), [("float16", 1e-3), ("int8", 1 / 250)])
def test_smaller_vectors_are_off_by_their_rounding(sounds, out, tmp_path, dtype, error):
    fill(tmp_path / "exact", sounds)
    fill(out, sounds, dtype=dtype)
    for key, (vector, scores) in content(tmp_path / "exact").items():
        smaller = content(out)[key]
        assert np.abs(smaller[0] - vector).max() <= error * np.abs(vector).max()
        assert smaller[1] == pytest.approx(scores, abs=1e-6)


# ---- what happens to files
def test_a_second_run_encodes_nothing(sounds, out, encoded):
    assert counts(fill(out, sounds)) == {"new": 3}
    encoded.clear()
    assert counts(fill(out, sounds)) == {"unchanged": 3}
    os.utime(next(sounds.rglob("*.wav")), (1, 1))  # another time, the same content
    assert counts(fill(out, sounds)) == {"unchanged": 3}
    assert encoded == []


def test_new_changed_moved_and_deleted_recordings_are_followed(sounds, out, encoded, tmp_path):
    fill(out, sounds)
    first, second, third = sorted(sounds.rglob("*.wav"))
    encoded.clear()
    recording(first, 1.0, 900.0, 9)
    second.rename(sounds / "XY_20250101_000000.wav")
    third.unlink()
    recording(sounds / "new.wav", 0.7)
    assert counts(fill(out, sounds)) == {"new": 1, "changed": 1, "moved": 1, "deleted": 1}
    assert sorted(encoded) == sorted([first.name, "new.wav"])
    fill(tmp_path / "whole", sounds)
    assert_same(out, tmp_path / "whole")
    index = SoundIndex.open(out)
    assert len(index.store) == len(index)
    assert {span.recorder for span in index.spans() if "XY" in span.path} == {"XY"}


def test_only_what_is_below_the_named_folders_is_removed(sounds, out, tmp_path):
    other = recording(tmp_path / "other" / "a.wav")
    fill(out, sounds, other.parent)
    shutil.rmtree(sounds / "pond")
    recording(sounds / "b.wav", 1.0, 700.0)
    (other.parent / "a.wav").unlink()
    assert counts(fill(out, sounds)) == {"new": 1, "deleted": 3}
    assert {Path(file.path).name for file in SoundIndex.open(out).files()} == {"a.wav", "b.wav"}


def test_deleted_recordings_are_kept_on_request(sounds, out):
    fill(out, sounds)
    next(sounds.rglob("*.wav")).unlink()
    assert counts(fill(out, sounds, keep_deleted=True)) == {"unchanged": 2}
    assert len(SoundIndex.open(out).files()) == 3


def test_an_empty_folder_removes_nothing(sounds, out):
    fill(out, sounds)
    shutil.rmtree(sounds / "pond")
    with pytest.raises(AuricleError, match="holds no audio; what the index knows of it stays"):
        fill(out, sounds)
    assert len(SoundIndex.open(out)) == 12


def test_a_broken_file_is_named_remembered_and_tried_again(sounds, out):
    bad = sounds / "bad.wav"
    bad.write_bytes(b"RIFF and nothing")
    report = fill(out, sounds)
    assert list(report.failed) == [str(bad)]
    assert [file.path for file in SoundIndex.open(out).files() if file.failure] == [str(bad)]
    assert list(fill(out, sounds).failed) == [str(bad)]
    recording(bad, 1.0)
    assert counts(fill(out, sounds)) == {"new": 1, "unchanged": 3}
    assert not any(file.failure for file in SoundIndex.open(out).files())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_named_and_not_waited_for(sounds, out):
    os.mkfifo(sounds / "pipe.wav")
    assert list(fill(out, sounds).failed) == [str(sounds / "pipe.wav")]


def test_a_recording_that_breaks_is_removed_and_one_that_is_too_short_named(sounds, out):
    fill(out, sounds)
    broken = sorted(sounds.rglob("*.wav"))[0]
    broken.write_bytes(b"")
    click = recording(sounds / "click.wav", 0.001)
    assert set(fill(out, sounds).failed) == {str(broken), str(click)}
    assert str(broken) not in {span.path for span in SoundIndex.open(out).spans()}


def test_a_file_that_changes_while_it_is_read_is_named_and_its_earlier_version_stays(sounds, out, monkeypatch):
    fill(out, sounds)
    file = sorted(sounds.rglob("*.wav"))[0]
    recording(file, 1.5, 800.0)
    with monkeypatch.context() as patch:
        patch.setattr(build, "_changed", lambda path, stamp: True)
        report = fill(out, sounds)
    assert "was changed while it was read" in report.failed[str(file)]
    assert len(SoundIndex.open(out)) == 12
    assert counts(fill(out, sounds)) == {"changed": 1, "unchanged": 2}


def test_nothing_to_read_makes_no_index(out, tmp_path):
    with pytest.raises(AuricleError, match="nowhere: no such file or folder"):
        fill(out, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuricleError, match="holds no audio"):
        fill(out, tmp_path / "empty")
    assert not out.exists()
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    with pytest.raises(AuricleError, match="nothing could be read \\(1 file failed\\); the first: .*bad.wav"):
        fill(out, tmp_path / "bad.wav")


# ---- long recordings, interrupted runs
def test_a_stopped_run_continues_within_a_recording_and_finds_the_same_events(out, tmp_path, monkeypatch, encoded):
    long = recording(tmp_path / "long.wav", 10.0, 400.0)
    fill(tmp_path / "whole", long)
    monkeypatch.setattr(build, "PART_WINDOWS", 8)
    monkeypatch.setattr(build, "LEAST_PART", 4)
    real, batches = WindowPass._encode, []

    def interrupted(self, cuts):
        batches.append([cut.start for cut in cuts])
        if len(batches) == 7:
            raise KeyboardInterrupt
        return real(self, cuts)

    with monkeypatch.context() as patch:
        patch.setattr(WindowPass, "_encode", interrupted)
        with pytest.raises(KeyboardInterrupt, match="the finished recordings are in the index"):
            fill(out, long)
    assert len(SoundIndex.open(out)) == 0
    (status,) = read_status(IndexConfig((str(out),), status=True))
    assert (status.unfinished, status.recordings) == (1, 0)
    batches.clear()
    monkeypatch.setattr(WindowPass, "_encode", lambda self, cuts: batches.append(len(cuts)) or real(self, cuts))
    assert counts(fill(out, long)) == {"new": 1}
    assert sum(batches) == 39 - 24  # six batches of four windows were stored
    assert_same(out, tmp_path / "whole")


@pytest.mark.slow
def test_a_worker_that_is_killed_within_long_recordings_leaves_each_window_once(
    out, quick_workers, tmp_path, monkeypatch
):
    for number, hertz in enumerate((300.0, 500.0, 700.0)):
        recording(tmp_path / "sounds" / f"{number}.wav", 10.0, hertz)
    fill(tmp_path / "whole", tmp_path / "sounds", corpus=ExecutorSettings(executor="local"))
    monkeypatch.setattr(build, "PART_WINDOWS", 8)
    monkeypatch.setattr(build, "LEAST_PART", 4)
    monkeypatch.setattr(build, "EARLY_WINDOWS", 12)  # recordings are written before their turn
    make_executor = ExecutorSettings.make_executor
    mortal = lambda *args: KilledOnce(make_executor(*args), tmp_path, telling=True)  # noqa: E731
    monkeypatch.setattr(ExecutorSettings, "make_executor", mortal)
    report = fill(out, tmp_path / "sounds", corpus=ExecutorSettings(executor="pool", processes=2))
    assert (tmp_path / "died").exists()
    assert counts(report) == {"new": 3}
    assert_same(out, tmp_path / "whole", exact=True)


def test_a_recording_that_changed_since_a_part_was_stored_is_read_from_the_start(out, tmp_path, monkeypatch):
    long = recording(tmp_path / "long.wav", 5.0, 400.0)
    monkeypatch.setattr(build, "PART_WINDOWS", 4)
    monkeypatch.setattr(build, "LEAST_PART", 4)
    with monkeypatch.context() as patch:
        patch.setattr(WindowPass, "_windows_of", stopped_after(WindowPass._windows_of, 10))
        with pytest.raises(KeyboardInterrupt):
            fill(out, long)
    recording(long, 4.0, 900.0)
    fill(out, long)
    fill(tmp_path / "whole", long)
    assert_same(out, tmp_path / "whole")


def stopped_after(windows, number):
    def stopped(self, *arguments):
        for count, item in enumerate(windows(self, *arguments)):
            if count == number:
                raise KeyboardInterrupt
            yield item

    return stopped


def test_a_broken_window_costs_its_recording_and_no_other(sounds, out, monkeypatch):
    real = WindowPass._encode
    bad = sorted(sounds.rglob("*.wav"))[0]

    def refused(self, cuts):
        if any(cut.recording.path == str(bad) and cut.start > 8000 for cut in cuts):
            raise AuricleError("this sound is refused")
        return real(self, cuts)

    monkeypatch.setattr(WindowPass, "_encode", refused)
    report = fill(out, sounds)
    assert report.failed == {str(bad): "this sound is refused"}
    assert (report.new, len({span.path for span in SoundIndex.open(out).spans()})) == (2, 2)


# ---- settings
def test_an_index_knows_its_model_and_windows(sounds, out, tmp_path):
    from auricle.hub.weight_file import save_encoder

    weights = tmp_path / "model.safetensors"
    save_encoder(encoder(), weights)
    build_index(sounds, weights, out=out, window=0.5)
    recording(sounds / "new.wav", 1.0)
    assert counts(build_index(sounds, out=out)) == {"new": 1, "unchanged": 3}
    assert counts(build_index([sounds], weights, out=out, window=0.5, hop=0.25, dtype="float32")) == {"unchanged": 4}
    with pytest.raises(AuricleError, match="--window 0.5, not 1.0"):
        build_index(sounds, out=out, window=1.0)
    with pytest.raises(AuricleError, match="was made with model"):
        build_index(sounds, mn(), out=out)
    with pytest.raises(AuricleError, match="is no index yet: name the model"):
        build_index(sounds, out=tmp_path / "other")
    with pytest.raises(AuricleError, match="no setting 'windows'; did you mean window"):
        build_index(sounds, out=out, windows=3)


def test_a_table_of_recorders_describes_recordings_that_are_there_already(sounds, out, tmp_path):
    fill(out, sounds)
    table = tmp_path / "places.csv"
    table.write_text("pattern,recorder,place\n*_02*,AM9,mill\n", encoding="utf-8")
    fill(out, sounds, recorders=str(table))
    files = {Path(file.path).name: file for file in SoundIndex.open(out).files()}
    found = [(file.recorder, file.place) for _, file in sorted(files.items())]
    assert found == [("AM1", "pond"), ("AM1", "pond"), ("AM9", "mill")]


def test_what_is_in_an_index_is_counted(sounds, out):
    fill(out, sounds)
    (status,) = read_status(IndexConfig((str(out),), status=True))
    assert (status.recordings, status.windows, status.seconds) == (3, 12, pytest.approx(3.4))
    assert (status.recorders, status.first, status.last) == ({"AM1": 3}, "2024-06-01T00:00:00", "2024-06-01T02:00:00")
    assert status.to_json()["heads"] == [{"name": "main", "classes": 3}]
    assert "3 recordings, 0:00:03, 12 windows of 0.5 s" in str(status)


# ---- damage
def test_lost_vectors_are_computed_again(sounds, out):
    fill(out, sounds)
    before = content(out)
    shard = next((out / "vectors").glob("shard-*"))
    shard.write_bytes(shard.read_bytes()[:-10])
    report = fill(out, sounds)
    assert report.new == 3
    assert any("lost" in note for note in report.notes)
    assert content(out).keys() == before.keys()


def test_a_lost_folder_of_vectors_is_filled_again(sounds, out):
    fill(out, sounds)
    before = content(out)
    shutil.rmtree(out / "vectors")
    assert fill(out, sounds).new == 3
    assert content(out).keys() == before.keys()


def test_a_full_disk_is_told_in_words_and_the_next_run_continues(sounds, out, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.numpy.save_file", full)
        with pytest.raises(AuricleError, match="No space left on device; make room"):
            fill(out, sounds)
    assert len(SoundIndex.open(out)) == 0
    assert counts(fill(out, sounds)) == {"new": 3}


def test_vectors_beyond_float16_are_refused(sounds, out, monkeypatch):
    fill(out, sounds, dtype="float16")
    recording(sounds / "new.wav", 1.0)
    real = WindowPass._encode
    large = lambda self, cuts: [w._replace(vector=w.vector * 1e6) for w in real(self, cuts)]  # noqa: E731
    monkeypatch.setattr(WindowPass, "_encode", large)
    with pytest.raises(AuricleError, match="too large for --dtype float16"):
        fill(out, sounds)
    assert len(SoundIndex.open(out)) == 12
