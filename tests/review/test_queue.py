"""What is reviewed: how spans are drawn, and which files hold them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.index.answers import Answer
from auricle.inference.events import Event
from auricle.inference.tag_results import FileTags, Tag, WindowTags
from auricle.review.detections import read_detections
from auricle.review.queue import ReviewChoice, ReviewItem, choose, draw, shares, write_queue
from helpers.reviews import small_index


def items(scores, label: str = "Frog") -> list[ReviewItem]:
    return [ReviewItem("/night.wav", float(i), i + 1.0, label, float(score)) for i, score in enumerate(scores)]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 100))
def test_shares_are_equal_as_far_as_the_groups_have_enough(sizes, number):
    taken = shares(sizes, number)
    assert sum(taken) == min(number, sum(sizes))
    assert all(t <= size for t, size in zip(taken, sizes))
    short = [t for t, size in zip(taken, sizes) if t < size]
    assert not short or max(taken) <= max(short) + 1


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_each_item_keeps_the_probability_with_which_it_was_drawn(seed, number):
    random = np.random.default_rng(seed)
    found = items(random.random(40)) + items(random.random(10), "Owl")
    drawn = draw(found, number, 4, seed)
    assert len(drawn) == min(number, 50)
    assert len({item.question for item in drawn}) == len(drawn)
    weights = sum(1 / (item.probability or 1.0) for item in drawn)
    assert weights == pytest.approx(50), "the drawn items stand for all"


def test_high_scores_are_heard_as_often_as_low_ones():
    drawn = draw(items([0.1] * 900 + [0.9] * 30), 20, 2, 0)
    assert sorted(item.score for item in drawn) == [0.1] * 10 + [0.9] * 10


def test_what_was_answered_is_not_asked_again_and_doubles_are_asked_once():
    found = items([0.2, 0.4, 0.6]) + items([0.3])
    chosen = choose(found, ReviewChoice(sample=None), [Answer("/night.wav", 1.0, 2.0, "Frog", "no")])
    assert sorted((item.start, item.score) for item in chosen) == [(0.0, 0.3), (2.0, 0.6)]
    with pytest.raises(AuricleError, match="all 3 spans are answered"):
        choose(found, ReviewChoice(), [item.answered("yes") for item in found])


def test_the_best_come_first_on_request_and_classes_and_scores_are_filtered():
    found = items([0.2, 0.9, 0.6]) + items([0.8], "Owl")
    assert [item.score for item in choose(found, ReviewChoice(top_k=2))] == [0.9, 0.8]
    assert {item.label for item in choose(found, ReviewChoice(labels=("Frog",)))} == {"Frog"}
    assert [item.score for item in choose(found, ReviewChoice(least=0.5, most=0.7))] == [0.6]
    with pytest.raises(AuricleError, match="did you mean Frog"):
        choose(found, ReviewChoice(labels=("Frogs",)))
    with pytest.raises(AuricleError, match=r"none of the 4 spans .* from 0.95 to 1"):
        choose(found, ReviewChoice(least=0.95))
    with pytest.raises(AuricleError, match="nothing was found"):
        choose([], ReviewChoice())


def test_a_queue_is_read_as_it_was_written(tmp_path):
    queue = draw(items(np.linspace(0.1, 0.9, 9)), 4, 2, 0)
    assert read_detections([write_queue(tmp_path / "queue.csv", queue)]).items == queue


RESULT = FileTags(
    "night.wav",
    4.0,
    (Tag("Frog", 0.9),),
    (WindowTags(0.0, 2.0, (Tag("Frog", 0.9), Tag("Owl", 0.2))), WindowTags(2.0, 4.0, (Tag("Owl", 0.1),))),
    (Event("Frog", 0.0, 2.0, 0.9),),
)


def test_results_of_tag_are_read_in_every_format(tmp_path):
    folder = tmp_path / "tags"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"model": "mn04_as", "fingerprint": "abcd"}))
    line = json.dumps(RESULT.to_json(time_line=True))
    (folder / "tags.jsonl").write_text(f'{line}\n{{"file": "broken.wav", "error": "no sound"}}\n{line[:40]}')
    (folder / "night.wav").touch()
    path = str(folder / "night.wav")
    event = ReviewItem(path, 0.0, 2.0, "Frog", 0.9, "mn04_as@abcd")
    assert read_detections([folder]).items == read_detections([folder / "tags.jsonl"]).items == [event]
    assert [(i.start, i.label, i.score) for i in read_detections([folder], "windows").items] == [
        (0.0, "Frog", 0.9),
        (0.0, "Owl", 0.2),
        (2.0, "Owl", 0.1),
    ]
    json_file = folder / "answer.json"
    json_file.write_text(json.dumps({"model": "mn04_as", "results": [RESULT.to_json()], "failed": []}))
    assert read_detections([json_file]).items == [ReviewItem(path, 0.0, 2.0, "Frog", 0.9, "mn04_as")]
    table = folder / "events.csv"
    table.write_text("file,start,end,label,score,clock\nnight.wav,0.000,2.000,Frog,0.900000,\n")
    assert read_detections([table]).items == [ReviewItem(path, 0.0, 2.0, "Frog", 0.9)]


def test_whole_recordings_and_heads_are_read(tmp_path):
    whole = FileTags(
        "night.wav", 4.0, (Tag("Frog", 0.9),), heads={"calls": FileTags("night.wav", 4.0, (Tag("Owl", 0.3),))}
    )
    file = tmp_path / "tags.json"
    file.write_text(json.dumps({"model": "", "results": [whole.to_json()]}))
    assert [(i.start, i.end, i.label) for i in read_detections([file]).items] == [(None, None, "calls: Owl")]


def test_spans_without_a_label_need_a_class_to_ask_about(tmp_path):
    """A search by example finds spans that are alike, whatever they are."""
    table = tmp_path / "matches.csv"
    table.write_text("path,start,end,suggested_label,score,similarity\na.wav,0,1,,,0.9\nb.wav,0,1,,,0.8\n")
    with pytest.raises(AuricleError, match="--ask"):
        read_detections([table])
    assert [(item.label, item.score) for item in read_detections([table], ask="Frog").items] == [("Frog", None)] * 2
    table.write_text("path,start,end,label,score\na.wav,0,1,Frog,0.9\nb.wav,0,1,Owl,0.8\nc.wav,0,1,,\n")
    assert [(item.label, item.score) for item in read_detections([table], ask="Frog").items] == [
        ("Frog", 0.9),
        ("Frog", None),
        ("Frog", None),
    ]
    assert "1 span without a label" in read_detections([table]).notes[0]


def test_suggestions_are_no_sample(tmp_path):
    table = tmp_path / "suggestions.csv"
    table.write_text("path,start,end,suggested_label,score,reason,probability\na.wav,,,Frog,0.5,random,0.1\n")
    found = read_detections([table])
    assert [(item.label, item.probability) for item in found.items] == [("Frog", None)]
    assert "unsure" in found.notes[0]


def test_an_index_gives_events_or_spans_by_score(tmp_path):
    small_index(tmp_path / "index", [(0.9, 0.0), (0.6, 0.8), (0.3, 0.6), (0.01, 0.2)])
    index = tmp_path / "index"
    assert [(i.start, i.label, i.score) for i in read_detections([index]).items] == [
        (0.0, "Frog", 0.9),
        (1.0, "Frog", 0.6),
    ]
    assert [i.score for i in read_detections([index, "label:frog > 0.2"]).items] == [0.9, 0.6, 0.3]
    assert [i.start for i in read_detections([index, "label:Frog > 0.2 and Owl > 0.5"]).items] == [1.0, 2.0]
    assert read_detections([index], "windows").items[0].model == "mn@0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "path,label,answer\na.wav,Frog,yes\n", "holds answers"),
        ("x.csv", "path,score\na.wav,1\n", "no column for the label"),
        ("x.csv", "label,score\nFrog,1\n", "no column for the recording"),
        ("x.csv", "path,label,score\na.wav,Frog,7\n", "line 2: a score lies between 0 and 1"),
        ("x.csv", "path,label,score\na.wav,Frog,high\n", "'high' in the column score"),
        ("x.json", "[1]", "holds no results"),
        ("x.json", "{", "cannot be read"),
        ("x.json", '{"matches": [1]}', "entry 1 is no mapping"),
        ("x.json", '{"matches": {"a": 1}}', "entry 1 is no mapping"),
        ("x.json", '{"results": 3}', "holds no results"),
        ("x.wav", "", "expected results of"),
    ],
)
def test_other_files_are_refused_in_words(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(AuricleError, match=message):
        read_detections([tmp_path / name])


def test_a_query_needs_an_index(tmp_path):
    with pytest.raises(AuricleError, match="needs an index before it"):
        read_detections(["label:Frog > 0.5"])
    with pytest.raises(AuricleError, match="holds neither an index nor"):
        read_detections([tmp_path])
    with pytest.raises(AuricleError, match="does not exist"):
        read_detections([tmp_path / "nothing"])
