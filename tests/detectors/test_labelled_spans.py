"""Windows with a label are known: by clips, by events, of a run and of the run that it grew from."""

from __future__ import annotations

from pathlib import Path

from auricle.data.manifest.manifest import Clip, Manifest, Segment
from auricle.detectors.labelled_spans import LabelledSpans, add_learnt_clips
from auricle.hub.run_folder import RunFolder

NIGHT = Path("night.wav").absolute()


def test_a_window_is_labelled_where_more_than_half_of_it_is():
    spans = LabelledSpans()
    spans.add(Manifest((Clip("1", "night.wav", start=0.0, end=3.0, labels=("a",)),)))
    assert spans.covers(NIGHT, 0.0, 5.0)
    assert not spans.covers(NIGHT, 0.6, 5.6)
    spans.add(Manifest((Clip("2", "night.wav", start=2.0, end=4.0, known=("a",)), Clip("3", "other.wav"))))
    assert spans.covers(NIGHT, 0.6, 5.6), "two clips count together, and their overlap once"
    assert not spans.covers(Path("other.wav"), 0.0, 1.0), "nothing is known of it"


def test_time_between_events_is_not_labelled_unless_said_otherwise():
    clips = Manifest((Clip("1", "night.wav", labels=("a",), events=(Segment(1.0, 2.0, "a"), Segment(1.5, 4.0, "b"))),))
    spans, whole = LabelledSpans(), LabelledSpans()
    spans.add(clips, events_only=True)
    whole.add(clips)
    assert [spans.covers(NIGHT, t, t + 2) for t in (0.0, 0.5, 2.0, 3.5)] == [False, True, True, False]
    assert whole.covers(NIGHT, 100.0, 102.0)


def test_what_a_run_and_the_run_before_it_learnt_is_labelled(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("old", "new"):
        (folder / f"{name}.csv").write_text(f"path,label\n{name}.wav,a\n{name}-none.wav,\n", encoding="utf-8")
    (folder / "calm").mkdir()
    (folder / "calm" / "calm.wav").write_bytes(b"")
    runs = {name: RunFolder(tmp_path / name) for name in ("old", "new")}
    for name, run in runs.items():
        run.path.mkdir()
        grown = {"from_run": str(runs["old"].path)} if name == "new" else {}
        run.write_config({"source": f"{name}.csv", "data": {"negatives": ["calm=a"]}, "detector": grown})
        (run.path / "environment.json").write_text(f'{{"folder": "{folder}"}}', encoding="utf-8")
    spans = LabelledSpans()
    add_learnt_clips(spans, runs["new"])
    for path in ("old.wav", "new.wav", "new-none.wav", "calm/calm.wav"):  # an empty label is an answer
        assert spans.covers(folder / path, 0.0, 5.0), path
