"""A detector grows: old clips stay known for old classes, newer labels win, old classes keep their scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import auricle
from auricle.cli.main import run
from auricle.core.errors import AuricleError
from auricle.detectors.features import load_features
from auricle.detectors.growing import KeptDetector, join, same_recordings, widened
from auricle.hub.run_folder import RunFolder
from auricle.models.label_space import LabelSpace
from helpers.finetune_runs import RATE, labelled_sounds, weight_file
from helpers.frozen_features import drawn_features
from helpers.sounds import tone, write_sound

TWO = LabelSpace("multilabel", ("a", "b"))
THREE = LabelSpace("multilabel", ("a", "b", "c"))


def kept(space: LabelSpace = TWO, n: int = 12) -> KeptDetector:
    features = replace(drawn_features(n, 2), frames=None)
    return KeptDetector(Path("old-run"), None, space, features, None)  # type: ignore[arg-type]


def new_clips(n: int = 6, seed: int = 1):
    return replace(drawn_features(n, 3, seed=seed), frames=None)


def test_nothing_is_known_of_a_new_class_in_old_clips_unless_classes_exclude_each_other():
    old = drawn_features(4, 2)
    assert widened(old, THREE).known[:, 2].tolist() == [0, 0, 0, 0]
    assert widened(old, replace(THREE, kind="multiclass")).known[:, 2].tolist() == [1, 1, 1, 1]
    assert widened(old, THREE).targets[:, 2].tolist() == [0, 0, 0, 0]


def test_clips_of_one_recording_have_equal_embeddings_whatever_they_are_called():
    clips = new_clips().clip
    stored = clips[::-1].astype(np.float16).astype(np.float32)
    assert same_recordings(clips, stored) == [(i, 5 - i) for i in range(6)]
    assert same_recordings(clips, stored * 1.1) == [], "louder is another recording"


def test_two_recordings_with_one_name_both_stay():
    joined = join(kept(), new_clips(), THREE)
    assert len(joined.features) == 18
    assert len(set(joined.features.ids)) == 18
    assert joined.features.ids[6] == "old-run: 0.wav"
    assert joined.features.groups[6] == "old-run: clip 0"
    assert joined.notes == ()


def test_of_a_recording_in_both_the_newer_labels_count_and_the_older_ones_fill_gaps():
    detector, new = kept(), new_clips()
    new.clip[0] = detector.features.clip[0]  # an "a" that is a "b" now; whether it is an "a" is not known
    new.targets[0], new.known[0] = [0, 1, 0], [0, 1, 1]
    joined = join(detector, new, THREE)
    assert len(joined.features) == 17
    assert not joined.kept[0]
    assert joined.features.targets[0].tolist() == [1, 1, 0]
    assert joined.features.known[0].tolist() == [1, 1, 1]
    assert "1 of the detector's clips" in joined.notes[0]
    assert "1 of them with other labels, such as 0.wav" in joined.notes[0]


def test_one_label_a_clip_and_any_number_do_not_grow_together():
    with pytest.raises(AuricleError, match="exactly one label a clip"):
        kept().joined_space(replace(THREE, kind="multiclass"))
    space = kept(replace(TWO, kind="multiclass", background=("b",))).joined_space(
        LabelSpace("multiclass", ("c", "a", "d"), background=("d",))
    )
    assert space.ids == ("a", "b", "c", "d")
    assert space.background == ("b", "d")


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """A detector of tones and noises, and recordings of clicks, which it does not know."""
    folder = tmp_path_factory.mktemp("growing")
    sounds, model = labelled_sounds(folder / "sounds"), weight_file(folder)
    for i in range(6):
        clicks = np.zeros(round(0.6 * RATE), np.float32)
        clicks[:: 700 + 50 * i] = 0.9
        write_sound(folder / "new" / "click" / f"{i}.wav", clicks, RATE)
    auricle.finetune(sounds, model=model, out=folder / "first", how="probe", quiet=True)
    return {"sounds": sounds, "new": folder / "new", "model": model, "first": folder / "first", "folder": folder}


def test_a_third_class_leaves_the_scores_of_two_as_they_were(places, capsys):
    out = places["folder"] / "second"
    command = ["finetune", str(places["new"]), "--from", str(places["first"]), "--how", "probe", "--out", str(out)]
    assert run(command) == 0
    shown = capsys.readouterr()
    assert "new classes click" in shown.out
    assert "no clip to learn from" not in shown.err
    assert "before" in shown.out
    detector = auricle.load(out)
    assert detector.info.label_space.ids == ("noise", "tone", "click")
    growth = KeptDetector.open(out).features
    assert len(growth) == 22
    scores = json.loads(RunFolder(out).detector.read_text())["grown_from"]["scores"]
    assert scores["after"] >= scores["before"] - 0.01
    assert set(scores["classes"]) == {"noise", "tone"}
    for kind, path in (("tone", places["sounds"]), ("click", places["new"])):
        assert auricle.tag(path / kind / "1.wav", model=out).results[0].tags[0].label == kind


def test_more_clips_of_one_known_class_are_enough(places):
    for i in range(2):
        write_sound(places["folder"] / "more" / "tone" / f"{i}.wav", tone(0.6, RATE, 900.0 + 90 * i, seed=70 + i), RATE)
    out = places["folder"] / "third"
    result = auricle.finetune(places["folder"] / "more", out=out, from_run=places["first"], how="probe", quiet=True)
    assert result.detector["grown_from"]["new_classes"] == []
    features, classes = load_features(RunFolder(out).features)
    assert classes == ("noise", "tone")
    assert features.targets.sum(0).tolist() == [8, 10]


def test_the_goal_of_the_thresholds_stays_and_few_new_clips_are_no_lack(places, tmp_path, capsys):
    def goal_of(run: Path) -> dict:
        return RunFolder(run).read_config()["detector"]["goal"]

    write_sound(tmp_path / "more" / "tone" / "a.wav", tone(0.6, RATE, 700.0, seed=90), RATE)
    small = {"how": "probe", "device": "cpu"}
    auricle.finetune(
        places["sounds"], model=places["model"], out=tmp_path / "a", target_precision=0.7, quiet=True, **small
    )
    auricle.finetune(tmp_path / "more", from_run=tmp_path / "a", out=tmp_path / "b", **small)
    assert "single clip" not in capsys.readouterr().err
    assert goal_of(tmp_path / "b") == goal_of(tmp_path / "a")
    auricle.finetune(
        tmp_path / "more", from_run=tmp_path / "b", out=tmp_path / "c", threshold_for="f1", quiet=True, **small
    )
    assert goal_of(tmp_path / "c") == {"threshold_for": "f1", "target_precision": None, "false_alarms_per_hour": None}


def test_other_encoders_and_runs_without_features_are_refused(places, tmp_path):
    other = weight_file(tmp_path, "m2d")
    with pytest.raises(AuricleError, match="do not have the same encoder: the families are"):
        auricle.finetune(
            places["new"], model=other, from_run=places["first"], out=tmp_path / "x", how="probe", quiet=True
        )
    with pytest.raises(AuricleError, match="--epochs trains the whole network"):
        auricle.finetune(places["new"], from_run=places["first"], out=tmp_path / "x", epochs=1, quiet=True)
    (tmp_path / "suggestions.csv").write_text(f"path,suggested_label\n{next(places['sounds'].rglob('*.wav'))},tone\n")
    with pytest.raises(AuricleError, match="has no label in any row"):
        auricle.finetune(tmp_path / "suggestions.csv", from_run=places["first"], out=tmp_path / "x", quiet=True)
    with pytest.raises(AuricleError, match="not a run folder"):
        auricle.finetune(places["new"], from_run=tmp_path, out=tmp_path / "x", quiet=True)
    features = RunFolder(places["first"]).features
    away = features.rename(tmp_path / "features.npz")
    try:
        with pytest.raises(AuricleError, match="trained the whole network"):
            auricle.finetune(places["new"], from_run=places["first"], out=tmp_path / "x", quiet=True)
    finally:
        away.rename(features)
    assert not (tmp_path / "x").exists()


def test_answers_of_the_page_are_known_of_the_classes_that_were_asked_about(places, tmp_path):
    sounds, new = places["sounds"], places["new"]
    first = auricle.finetune(
        sounds, model=places["model"], out=tmp_path / "first", how="probe", kind="multilabel", quiet=True
    )
    rows = [f"{new}/click/0.wav,click,click", f"{new}/click/1.wav,,tone", f'{new}/click/2.wav,click,"tone,click"']
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,known", *rows]) + "\n", encoding="utf-8")
    again = auricle.finetune(
        tmp_path / "labels.csv", from_run=first.run, out=tmp_path / "second", how="probe", quiet=True
    )
    features, classes = load_features(RunFolder(again.run).features)
    assert classes == ("tone", "click"), "noise is background: none of the classes"
    assert features.known[:3].tolist() == [[0, 1], [1, 0], [1, 1]]
    assert features.targets[:3].tolist() == [[0, 1], [0, 0], [0, 1]]
    assert (features.known[3:] == [1, 0]).all(), "nobody was asked about clicks in the old clips"
