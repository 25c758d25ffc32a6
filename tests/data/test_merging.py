"""Several rows about one clip: events, labels, and what may not differ."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Manifest, ManifestWarning
from auricle.data.manifest.summary import summarise
from helpers.sounds import write_sound

STRONG = "filename\tonset\toffset\tevent_label\na.wav\t0.1\t0.5\tSpeech\na.wav\t0.25\t1.5\tDog\nb.wav\t0\t2\tDog\nc.wav\t\t\t\n"


def read(path: Path, text: str, **options: object) -> Manifest:
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ManifestWarning)
        return read_manifest(path, **options)


def test_rows_of_dcases_strong_labels_are_events_of_one_clip(tmp_path):
    manifest = read(tmp_path / "m.tsv", STRONG)
    assert manifest.ids == ("a.wav", "b.wav", "c.wav")
    first, _, last = manifest.clips
    assert first.events == ((0.1, 0.5, "Speech"), (0.25, 1.5, "Dog"))
    assert (first.labels, last.labels, last.events) == (("Speech", "Dog"), (), ())
    assert "(2 rows, 1 clips, the first is 'a.wav')" in manifest.notes[0]
    again = read_manifest(write_manifest(manifest, tmp_path / "again.csv"))
    assert again.clips == manifest.clips


def test_strong_labels_are_joined_to_a_folder(tmp_path):
    for name in "abc":
        write_sound(tmp_path / "audio" / f"{name}.wav")
    (tmp_path / "m.tsv").write_text(STRONG)
    with pytest.warns(ManifestWarning, match="about the same clip are joined"):
        manifest = read_manifest(tmp_path / "audio", labels=tmp_path / "m.tsv")
    assert [len(clip.events) for clip in manifest] == [2, 1, 0]


def test_audiosets_strong_labels_are_events(tmp_path):
    rows = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\nx_30000\t0.0\t1.5\t/m/1\nx_30000\t2\t3\t/m/2\n"
    assert read(tmp_path / "m.tsv", rows).clips[0].events == ((0.0, 1.5, "/m/1"), (2.0, 3.0, "/m/2"))


def test_a_row_per_label_is_one_clip_of_several_labels(tmp_path):
    manifest = read(tmp_path / "m.csv", "filename,label,fold\na.wav,dog,1\na.wav,loud,1\nb.wav,dog,2\na.wav,dog,1\n")
    assert [(clip.id, clip.labels, clip.fold) for clip in manifest] == [
        ("a.wav", ("dog", "loud"), 1),
        ("b.wav", ("dog",), 2),
    ]


def test_spans_stay_clips_of_their_own(tmp_path):
    manifest = read(
        tmp_path / "m.csv", "filename,start_time,end_time,label\na.wav,0,1,dog\na.wav,1,2,cat\na.wav,1,2,loud\n"
    )
    assert [(clip.id, clip.labels) for clip in manifest] == [("a.wav@0-1", ("dog",)), ("a.wav@1-2", ("cat", "loud"))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "filename,label,fold\na.wav,dog,1\na.wav,loud,2\n",
            r"'a\.wav' \(2 rows\) has several values of 'fold' in m\.csv: 1, 2",
        ),
        ("id,path,label\na,x.wav,dog\na,y.wav,dog\n", "several values of 'path'.*'x.wav', 'y.wav'"),
        (
            "filename,onset,offset,label\na.wav,1,0.5,dog\n",
            r"m\.csv line 2: the event 'dog' ends at 0\.5 s but starts at 1",
        ),
        ("filename,onset,offset,label\na.wav,1,,dog\n", r"m\.csv line 2: an event needs onset, offset and label"),
        ("filename,onset,offset,label\na.wav,1,2,\n", "an event needs onset, offset and label"),
        ("filename,onset,offset,label\na.wav,-1,2,dog\n", "column 'onset' holds '-1'; expected seconds"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(tmp_path, text, message):
    with pytest.raises(AuricleError, match=message):
        read(tmp_path / "m.csv", text)


def test_paths_named_twice_in_python_are_refused_but_rows_are_joined(tmp_path):
    with pytest.raises(AuricleError, match="duplicate ids"):
        read_manifest(["a.wav", "a.wav"], root=tmp_path)
    rows = [{"path": "a.wav", "label": "dog"}, {"path": "a.wav", "label": "cat"}]
    with pytest.warns(ManifestWarning, match="rows of the list"):
        assert read_manifest(rows, root=tmp_path).clips[0].labels == ("dog", "cat")


def test_labels_with_commas_are_whole_where_the_class_list_has_them(tmp_path):
    text = 'filename,label\na.wav,"Rain, heavy"\nb.wav,"dog,Rain, heavy"\nc.wav,dog\n'
    (tmp_path / "classes.txt").write_text("dog\nRain, heavy\n")
    manifest = read(tmp_path / "m.csv", text, classes=tmp_path / "classes.txt")
    assert [clip.labels for clip in manifest] == [("Rain, heavy",), ("dog", "Rain, heavy"), ("dog",)]
    assert manifest.notes == ()
    apart = read(tmp_path / "m.csv", 'filename,label\na.wav,"Rain, heavy"\nc.wav,dog\n')
    assert "'Rain, heavy' is taken for 2 labels" in apart.notes[0]


def test_what_was_understood_is_counted_and_said(tmp_path):
    manifest = read(tmp_path / "m.tsv", STRONG)
    found = summarise(manifest)
    assert (found.kind, found.clips, found.labelled, found.classes) == ("multi-label", 3, 2, {"Dog": 2, "Speech": 1})
    assert str(found) == "3 clips, 2 classes, multi-label (Dog 2, Speech 1), 1 without a label, 3 events"
    single = read(
        tmp_path / "s.csv",
        "filename,label,fold,speaker\n" + "".join(f"{i}.wav,c{i % 20:02d},{i % 5},x\n" for i in range(41)),
    )
    text = str(summarise(single))
    assert text.startswith("41 clips, 20 classes, single label (c00 3, c01 2")
    assert text.endswith("…, c19 2), 5 folds, 1 group")
    none = read(tmp_path / "n.csv", "filename\na.wav\n")
    assert (str(summarise(none)), summarise(none).kind) == ("1 clip, no labels", "unlabelled")
