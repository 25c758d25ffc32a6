"""From folders and tables to labelled clips: background classes, negatives, one label or several, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

import auricle
from auricle.commands.finetune.finetune import finetune_run
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.labelled_clips.background import background_classes, without_background
from auricle.methods.supervised.labelled_clips.negatives import shared_out
from helpers.finetune_runs import RATE, config, labelled_sounds, understood, weight_file
from helpers.sounds import tone, write_sound


def three_classes(folder, names=("dog", "rain", "Noise"), clips=7, seconds=0.25):
    for place, name in enumerate(names):
        for i in range(clips):
            wave = tone(seconds, RATE, 200.0 + 300 * place + 10 * i, seed=100 * place + i)
            write_sound(folder / name / f"{i}.wav", wave, RATE)
    return folder


@pytest.mark.parametrize("name", ["background", "Noise", "SILENCE", "other", "none", "nothing", "_background_noise_"])
def test_a_class_of_a_background_name_is_trained_and_never_reported(name):
    assert background_classes(("dog", name, "rain"), ()) == (name,)


def test_background_can_be_named_and_switched_off():
    classes = ("dog", "noise", "traffic")
    assert background_classes(classes, ("traffic",)) == ("traffic",)
    assert background_classes(classes, ("none",)) == ()
    assert background_classes(("noise", "silence"), ()) == ()  # nothing else would be left
    with pytest.raises(AuricleError, match="--background: no clip has the label 'trafic'.*traffic"):
        background_classes(classes, ("trafic",))
    with pytest.raises(AuricleError, match="nothing is left"):
        background_classes(("a", "b"), ("a", "b"))


def test_where_classes_exclude_each_other_background_is_a_class_that_is_not_reported(tmp_path):
    parts, space, lines = understood(three_classes(tmp_path))
    assert (space.kind, space.ids, space.background) == ("multiclass", ("Noise", "dog", "rain"), ("Noise",))
    assert sum(map(len, parts.present.values())) == 21
    assert any(line.startswith("background: Noise: trained as none of the others, never reported") for line in lines)
    assert understood(tmp_path, background=("none",))[1].background == ()
    assert understood(tmp_path, background=("rain",))[1].background == ("rain",)


def test_where_clips_have_any_number_of_labels_background_is_no_label_with_everything_known(tmp_path):
    three_classes(tmp_path)
    rows = ["path,label", *(f"dog/{i}.wav,dog" for i in range(7)), 'rain/0.wav,"dog,rain"', "Noise/0.wav,noise"]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    parts, space, lines = understood(tmp_path / "table.csv", valid_ratio=0.0)
    assert (space.kind, space.ids, space.background) == ("multilabel", ("dog", "rain"), ())
    assert (parts.train["Noise/0.wav"].labels, parts.train["Noise/0.wav"].known) == ((), None)
    assert lines[0].startswith("2 classes (any number a clip: 1 of 9 clips have more than one, such as rain/0.wav)")


def test_a_class_that_a_class_list_names_stays_a_class_where_clips_have_any_number_of_labels(tmp_path):
    clips = [Clip("a", "a.wav", labels=("dog", "Silence")), Clip("b", "b.wav", labels=("Silence",))]
    manifest = Manifest(clips, classes=("Silence", "dog"))
    assert without_background(manifest, ()) == manifest
    dropped = without_background(manifest, ("Silence",))
    assert dropped.classes == ("dog",)
    assert [clip.labels for clip in dropped] == [("dog",), ()]


def test_of_a_clip_that_was_annotated_as_background_everything_is_known():
    partly = Clip("a", labels=("dog",), known=("dog", "noise"))
    background = Clip("b", labels=("noise",), known=("noise",))
    nothing = Clip("c", known=())
    dropped = without_background(Manifest((partly, background, nothing)), ("noise",))
    assert [clip.known for clip in dropped] == [("dog",), None, ()]


def test_long_background_recordings_are_cut_to_the_length_of_the_others(tmp_path):
    sounds = three_classes(tmp_path / "sounds", names=("dog", "rain"))
    write_sound(sounds / "_background_noise_" / "long.wav", tone(3.0, RATE), RATE)
    parts, _, lines = understood(sounds, valid_ratio=0.0)
    noise = [clip for clip in parts.train if clip.labels == ("_background_noise_",)]
    assert [(clip.start, clip.end) for clip in noise][:2] == [(0.0, 0.25), (0.25, 0.5)]
    assert len(noise) == 12
    assert {clip.group for clip in noise} == {"_background_noise_/long.wav"}
    assert [clip.end for clip in noise] == [
        clip.end for clip in understood(sounds, seconds=0.1, valid_ratio=0.0)[0].train if clip.end
    ]
    assert "1 long recordings of background are cut into 12 clips of up to 0.25 s" in lines


def test_a_detector_with_background_never_reports_it(tmp_path):
    settings = config(labelled_sounds(tmp_path / "sounds"), tmp_path / "run", weight_file(tmp_path, "m2d"), epochs=4)
    finetune_run(settings, quiet=True)
    assert auricle.load(tmp_path / "run").info.label_space.background == ("noise",)
    for kind in ("noise", "tone"):
        [result] = auricle.tag(tmp_path / "sounds" / kind / "0.wav", model=tmp_path / "run").results
        assert {tag.label for tag in result.tags} <= {"tone"}


def test_held_out_background_fires_a_detector_that_learnt_none_and_not_one_that_did(tmp_path):
    model, rng = weight_file(tmp_path, "m2d"), np.random.default_rng(0)
    for i in range(12):
        write_sound(tmp_path / "tones" / "low" / f"{i}.wav", tone(0.3, RATE, 300.0 + 8 * i, seed=i), RATE)
        write_sound(tmp_path / "tones" / "high" / f"{i}.wav", tone(0.3, RATE, 2000.0 + 50 * i, seed=12 + i), RATE)
        for name in ("noise", "held out"):
            write_sound(tmp_path / name / f"{i}.wav", rng.normal(0, 0.1, round(0.3 * RATE)).astype(np.float32), RATE)
    fired = {}
    for name, negatives in (("without", ()), ("with", (str(tmp_path / "noise"),))):
        made = auricle.finetune(
            tmp_path / "tones",
            model=model,
            out=tmp_path / name,
            how="probe",
            negatives=negatives,
            device="cpu",
            quiet=True,
        )
        space = auricle.load(made.run).info.label_space
        results = auricle.tag(tmp_path / "held out", model=made.run).results
        fired[name] = sum(
            any(tag.score >= space.thresholds[space.ids.index(tag.label)] for tag in r.tags) for r in results
        )
    assert fired["without"] >= 6
    assert fired["with"] <= 1


# ---- negatives


def negatives(folder, count=6, seconds=0.5):
    for i in range(count):
        write_sound(folder / f"night{i}.wav", np.random.default_rng(i).normal(0, 0.1, round(seconds * RATE)), RATE)
    return folder


def test_negatives_are_a_background_class_where_classes_exclude_each_other(tmp_path):
    sounds = three_classes(tmp_path / "sounds", names=("dog", "rain"))
    more = negatives(tmp_path / "nights")
    parts, space, lines = understood(sounds, negatives=(str(more),), valid_ratio=0.25)
    assert (space.ids, space.background) == (("background", "dog", "rain"), ("background",))
    added = [clip for part in parts.present.values() for clip in part if clip.labels == ("background",)]
    assert len(added) == 12  # windows of 0.25 s
    assert set(parts.present) == {"train", "validation"}
    groups = [{clip.group for clip in part if clip.group} for part in parts.present.values()]
    assert all(groups)
    assert not groups[0] & groups[1]
    assert all((parts.train.root / clip.path).is_file() for clip in parts.train)
    assert any("6 recordings" in line and "none of the classes" in line for line in lines)


def test_negatives_join_the_background_class_that_is_there(tmp_path):
    sounds, more = three_classes(tmp_path / "sounds"), negatives(tmp_path / "nights")
    _, space, _ = understood(sounds, negatives=(str(more),))
    assert (space.ids, space.background) == (("Noise", "dog", "rain"), ("Noise",))


def test_negatives_of_given_classes_say_nothing_about_the_others(tmp_path):
    sounds, more = three_classes(tmp_path / "sounds", names=("dog", "rain")), negatives(tmp_path / "nights")
    source = f"{more}=dog"
    parts, _, _ = understood(sounds, negatives=(source,), kind="multilabel", valid_ratio=0.0)
    added = [clip for clip in parts.train if clip.id.startswith("negatives0/")]
    assert {(clip.labels, clip.known) for clip in added} == {((), ("dog",))}
    with pytest.raises(AuricleError, match="teaches nothing; leave the classes out .* or set --kind multilabel"):
        understood(sounds, negatives=(source,))
    with pytest.raises(AuricleError, match="there is no class 'dgo'.*dog"):
        understood(sounds, negatives=(f"{more}=dgo",), kind="multilabel")


def test_one_class_alone_can_be_learnt_with_negatives(tmp_path):
    write_sound(tmp_path / "sounds" / "dog" / "0.wav", tone(0.25), RATE)
    (tmp_path / "table.csv").write_text("path,label\nsounds/dog/0.wav,dog\n")
    with pytest.raises(AuricleError, match="every clip has the one label 'dog'.*--negatives FOLDER"):
        understood(tmp_path / "table.csv")
    more = negatives(tmp_path / "nights")
    _, space, _ = understood(tmp_path / "table.csv", negatives=(str(more),))
    assert space.ids == ("background", "dog")


def test_groups_are_shared_out_in_the_sizes_of_the_parts():
    groups = [f"g{i // 4}" for i in range(400)]
    chosen = shared_out(groups, (70, 10, 20), seed=0)
    assert np.bincount(chosen).tolist() == [280, 40, 80]
    assert all(len({*chosen[4 * g : 4 * g + 4]}) == 1 for g in range(100))


@pytest.mark.parametrize("others", [(), ("dog",)])
def test_a_clip_to_test_of_a_class_that_is_not_learnt_is_left_out_and_said(tmp_path, others):
    three_classes(tmp_path, ("dog", "rain"), clips=4)
    rows = [f"{name}/{i}.wav,{name},train" for name in ("dog", "rain") for i in range(3)]
    rows += ["rain/3.wav,wolf,test", *(f"{name}/3.wav,{name},test" for name in others)]
    (tmp_path / "labels.csv").write_text("\n".join(["file_name,label,split", *rows]) + "\n")
    parts, space, lines = understood(tmp_path / "labels.csv")
    assert space.ids == ("dog", "rain")
    assert [clip.labels for clip in parts.present.get("test", ())] == [(name,) for name in others]
    assert any("test: 1 clips have labels that no training clip has (wolf) and are left out" in line for line in lines)
