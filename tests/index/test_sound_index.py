"""What is in an index can be read by span, score, time and recording; answers are kept; damage is told in words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.index import schema
from auricle.index.answers import Answer
from auricle.index.database import IndexedEvent, SoundIndex, Span
from auricle.index.description import IndexedClass, IndexedHead, IndexInfo, labels_of_heads
from auricle.index.recorders import RecordingPlace
from auricle.index.search.span_filter import SpanFilter
from auricle.index.writer import SCORE, FileStamp, IndexWriter, RecordingEnd, RecordingPart
from auricle.inference.events import Event

FROG, WREN = IndexedClass("f", "Frog", "Frog", 0.5), IndexedClass("w", "Wren", "Wren", 0.3)
INFO = IndexInfo("model", "abc", "front", 16000, 2.0, 1.0, 4, heads=(IndexedHead("main", "multilabel", (FROG, WREN)),))
BEGAN = datetime(2024, 6, 1, 5, 30)


def part(path: str, count: int = 3, first: int = 0, end: bool = True, **where) -> RecordingPart:
    """Windows of a recording: window i has the vector (i, i, i, i) and the scores 0.1 i for Frog, 0.9 for Wren in the first one."""
    windows = np.arange(first, first + count)
    scores = [(i, 0, 0.1 * i) for i in windows if i] + [(i, 1, 0.9) for i in windows if i == 0]
    events = ((1, Event("Wren", 0.0, 1.5, 0.9)),)
    return RecordingPart(
        path,
        FileStamp(10, 20),
        first,
        np.stack([windows, windows + 2.0], 1),
        np.repeat(windows[:, None], 4, 1).astype(np.float32),
        np.array(scores, SCORE),
        np.zeros(0, SCORE),
        RecordingEnd(count + 1.0, "sum", RecordingPlace(**where), events) if end else None,
    )


@pytest.fixture
def index(tmp_path) -> SoundIndex:
    index = SoundIndex.create(tmp_path / "INDEX", INFO)
    with IndexWriter(index) as writer:
        writer.add([part("/b.wav"), part("/a.wav", recorder="AM1", place="pond", began=BEGAN)])
    return index


def numbers(index: SoundIndex, path: str) -> list[int]:
    return [span.id for span in index.spans() if span.path == path]


# ---- reading
def test_spans_come_by_path_and_time_or_in_the_order_of_their_ids(index):
    spans = index.spans()
    assert [(span.path, span.start, span.end) for span in spans[:4]] == [
        ("/a.wav", 0, 2), ("/a.wav", 1, 3), ("/a.wav", 2, 4), ("/b.wav", 0, 2)
    ]  # fmt: skip
    assert spans[0] == Span(spans[0].id, "/a.wav", 0.0, 2.0, "AM1", "pond", BEGAN)
    assert (spans[3].recorder, spans[3].began) == ("", None)
    wanted = [spans[4].id, 999, spans[1].id]
    assert [span.id for span in index.spans(wanted)] == [spans[4].id, spans[1].id]
    assert len(index) == 6


def test_vectors_come_with_the_ids_that_there_are(index):
    a = numbers(index, "/a.wav")
    ids, vectors = index.vectors([a[2], 999, a[1]])
    assert ids.tolist() == [a[2], a[1]]
    assert vectors.tolist() == [[2.0] * 4, [1.0] * 4]
    ids, vectors = index.vectors()
    assert (ids.tolist(), vectors.shape, vectors.dtype) == (sorted(ids), (6, 4), np.float32)
    assert index.vectors([])[1].shape == (0, 4)


def test_scores_are_found_by_span_and_by_label(index):
    a, b = numbers(index, "/a.wav"), numbers(index, "/b.wav")
    assert index.scores([a[0], a[1], 999]) == {
        a[0]: {"Wren": pytest.approx(0.9)},
        a[1]: {"Frog": pytest.approx(0.1)},
        999: {},
    }
    best = index.spans_by_score("frog", 0.15)
    assert [id for id, _ in best] == sorted([a[2], b[2]])
    assert [score for _, score in best] == pytest.approx([0.2, 0.2])
    assert [id for id, _ in index.spans_by_score("w", 0.5, where=SpanFilter(recorders=("am1",)))] == [a[0]]
    assert index.spans_by_score("Frog", 0.05, 0.15) == [(id, pytest.approx(0.1)) for id in sorted([a[1], b[1]])]
    with pytest.raises(AuricleError, match="no label 'Forg'; did you mean Frog"):
        index.spans_by_score("Forg", 0.5)


def test_filters_choose_spans_by_recorder_and_time(index):
    a = numbers(index, "/a.wav")
    assert index.span_ids(SpanFilter(after=datetime(2024, 6, 1, 5, 30, 1))).tolist() == a[1:]
    assert [span.id for span in index.spans(where=SpanFilter(places=("pond",)))] == a
    assert index.span_ids().tolist() == sorted([*a, *numbers(index, "/b.wav")])


def test_events_and_files_are_those_of_complete_recordings(index):
    assert index.events("/a.wav") == [IndexedEvent("/a.wav", "Wren", 0.0, 1.5, pytest.approx(0.9))]
    assert len(index.events()) == 2
    with IndexWriter(index) as writer:
        before = index.changes()
        writer.add([part("/c.wav", end=False)])
        writer.fail("/d.wav", FileStamp(1, 2), "broken", RecordingPlace())
    assert [(file.path, file.windows, file.failure) for file in index.files()] == [
        ("/a.wav", 3, ""), ("/b.wav", 3, ""), ("/d.wav", 0, "broken")
    ]  # fmt: skip
    assert (len(index), len(index.events()), index.changes() > before) == (6, 2, True)


# ---- writing
def test_a_recording_in_parts_appears_with_its_last_one(index):
    with IndexWriter(index) as writer:
        assert writer.add([part("/c.wav", 3, end=False)]) == []
        stored = writer.stored_part("/c.wav", FileStamp(10, 20))
        assert stored.spans.tolist() == [[0, 2], [1, 3], [2, 4]]
        assert writer.stored_part("/a.wav", FileStamp(10, 20)) is None
        assert writer.add([part("/c.wav", 2, first=3)]) == []
    spans = [span for span in index.spans() if span.path == "/c.wav"]
    assert [span.start for span in spans] == [0, 1, 2, 3, 4]
    assert index.vectors([span.id for span in spans])[1][:, 0].tolist() == [0, 1, 2, 3, 4]


def test_what_another_writer_has_added_is_not_added_again(index):
    with IndexWriter(index) as one, IndexWriter(index) as other:
        assert one.claim(["/c.wav", "/d.wav"]) == ["/c.wav", "/d.wav"]
        assert other.claim(["/d.wav", "/e.wav"]) == ["/e.wav"]
        one.add([part("/c.wav")])
        assert other.add([part("/c.wav"), part("/e.wav")]) == ["/c.wav"]
    assert len(index) == 12
    with IndexWriter(index) as third:  # the claims of writers that have ended do not count
        assert third.claim(["/d.wav"]) == ["/d.wav"]


def test_a_part_of_another_version_of_the_file_is_removed(index):
    with IndexWriter(index) as writer:
        writer.add([part("/c.wav", end=False)])
        assert writer.stored_part("/c.wav", FileStamp(11, 20)) is None
        assert writer.stored_part("/c.wav", FileStamp(10, 20)) is None
        writer.tidy()
    assert len(index.store) == len(index) == 6


def test_ids_are_never_used_again(index):
    ids = set(index.span_ids().tolist())
    with IndexWriter(index) as writer:
        writer.remove(["/a.wav", "/b.wav"])
        writer.tidy()
        writer.add([part("/c.wav")])
    assert not ids & set(index.span_ids().tolist())
    assert index.spans(ids) == []


def test_answers_are_kept_in_order_undone_and_follow_a_recording_that_moves(index):
    first, second = (
        Answer("/a.wav", 0.0, 2.0, "Frog", "yes", score=0.8),
        Answer("/a.wav", 1.0, 3.0, "Frog", "no", reviewer="Bo"),
    )
    index.add_answers([first, second])
    assert SoundIndex.open(index.folder).answers() == [first, second]
    assert index.undo_answer("Ada") is None
    assert index.undo_answer() == second
    with IndexWriter(index) as writer:
        writer.move("/a.wav", "/new/a.wav", FileStamp(10, 20), RecordingPlace())
        writer.remove(["/b.wav"])
    assert index.answers() == [replace(first, path="/new/a.wav")]
    assert {span.path for span in index.spans()} == {"/new/a.wav"}


# ---- opening
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "xyz"}, "model model \\(abc\\), not model \\(xyz\\)"),
        ({"window": 3.0}, "--window 2.0, not 3.0"),
        ({"dtype": "int8"}, "--dtype float32, not int8"),
        ({"heads": ()}, "classes"),
    ],
)
def test_an_index_that_was_made_with_something_else_is_refused(index, change, message):
    with pytest.raises(AuricleError, match=message):
        SoundIndex.create(index.folder, replace(INFO, **change))


def test_thresholds_may_change_and_are_those_of_the_model(index):
    head = IndexedHead("main", "multilabel", (replace(FROG, threshold=0.7), WREN))
    assert SoundIndex.create(index.folder, replace(INFO, heads=(head,))).info.classes[0].threshold == 0.7
    assert SoundIndex.open(index.folder).info.classes[0].threshold == 0.7


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(AuricleError, match="is no index and holds other files \\(letter.txt"):
        SoundIndex.create(tmp_path, INFO)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(AuricleError, match="is no index .*auricle index RECORDINGS"):
        SoundIndex.open(tmp_path)
    with pytest.raises(AuricleError, match="does not exist"):
        SoundIndex.open(tmp_path / "nowhere")


def test_what_a_killed_process_left_before_the_description_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(IndexInfo, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        SoundIndex.create(tmp_path / "INDEX", INFO)
    monkeypatch.undo()
    index = SoundIndex.create(tmp_path / "INDEX", replace(INFO, fingerprint="other"))
    assert len(index) == 0


@pytest.mark.parametrize("damage", ["[]", None], ids=["damaged", "lost"])
def test_a_lost_description_of_the_vectors_costs_none_of_them(index, damage):
    before, described = index.vectors(), index.folder / "vectors" / "description.json"
    described.unlink()
    if damage:
        described.write_text(damage, encoding="utf-8")
    again = SoundIndex.create(index.folder, INFO)
    assert [part.tolist() for part in again.vectors()] == [part.tolist() for part in before]


def test_a_lost_description_does_not_cost_the_rest(index):
    (index.folder / "index.json").unlink()
    with pytest.raises(AuricleError, match="has lost index.json"):
        SoundIndex.create(index.folder, INFO)
    INFO.write(index.folder)
    assert len(SoundIndex.open(index.folder)) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("[1]", "cannot be read"),
        ('{"format": 9}', "has format 9"),
        ('{"format": 1, "model": "m"}', "index.json"),
        (json.dumps({"format": 1, "heads": [{"name": 1}]}), "cannot be read"),
    ],
)
def test_a_damaged_description_is_named(index, text, message):
    (index.folder / "index.json").write_text(text, encoding="utf-8")
    with pytest.raises(AuricleError, match=message):
        SoundIndex.open(index.folder)


@pytest.mark.parametrize("damage", ["garbage", "empty", "gone", "newer"])
def test_a_damaged_database_is_named(index, damage):
    file = index.folder / schema.FILE
    if damage == "newer":
        index.database.write(lambda db: db.execute("PRAGMA user_version = 9"))
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes(b"no database " * 500 if damage == "garbage" else b"")
    words = {"garbage": "is damaged", "empty": "is damaged", "gone": "has lost index.sqlite", "newer": "version 9"}
    with pytest.raises(AuricleError, match=words[damage]):
        SoundIndex.open(index.folder)


def test_labels_that_several_heads_have_get_the_name_of_their_head():
    pairs = [("a", "Frog"), ("b", "frog"), ("b", "Wren"), ("a", "Owl"), ("a", "Owl")]
    assert labels_of_heads(pairs) == ["a: Frog", "b: frog", "Wren", "a: Owl", "a: Owl (2)"]
    heads = (
        IndexedHead("a", "multilabel", (IndexedClass("x", "Frog", "a: Frog", 0.5),)),
        IndexedHead("b", "multilabel", (IndexedClass("y", "Frog", "b: Frog", 0.5),)),
    )
    info = replace(INFO, heads=heads)
    assert (info.label_number("b: frog"), info.label_number("x")) == (1, 0)
    with pytest.raises(AuricleError, match="several heads have the label 'Frog'; write one of a: Frog, b: Frog"):
        info.label_number("Frog")
    with pytest.raises(AuricleError, match="gives vectors only"):
        replace(INFO, heads=()).label_number("Frog")
