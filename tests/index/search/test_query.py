"""Queries of an index are read as a person writes them, and what cannot be meant is refused with a hint."""

from __future__ import annotations

import pytest

from auricle.core.errors import AuricleError
from auricle.index.description import IndexedClass, IndexedHead, IndexInfo
from auricle.index.search.query import LabelCondition, SearchQuery, SoundExample, SpanExample, read_query

NAMES = ("Dog", "Dog bark", "Rhythm and blues", "Drum and bass", "Cat, domestic")
INFO = IndexInfo(
    *("model", "fingerprint", "front end", 16000, 5.0, 2.5, 4),
    heads=(IndexedHead("main", "multilabel", tuple(IndexedClass(f"/m/{i}", n, n, 0.5) for i, n in enumerate(NAMES))),),
)


def conditions(text: str) -> str:
    return " / ".join(map(str, read_query([text], [], INFO).labels))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("label:Dog bark > 0.5", "Dog bark > 0.5"),
        ("label:dog bark>=.5", "Dog bark >= 0.5"),  # letters of any case
        ("label:/m/1 < 0.2", "Dog bark < 0.2"),  # ids of classes
        ("label:Dog", "Dog"),
        ("label:Rhythm and blues", "Rhythm and blues"),  # "and" in a name
        ("label:Rhythm and blues>.3 and Drum and bass < 0.2", "Rhythm and blues > 0.3 / Drum and bass < 0.2"),
        ("label:Dog > 0.5 and label:Cat, domestic > 0.1", "Dog > 0.5 / Cat, domestic > 0.1"),
        ("label:Dog > 0.5 & Drum and bass", "Dog > 0.5 / Drum and bass"),
    ],
)
def test_label_conditions_are_read(text, labels):
    assert conditions(text) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label:Dgo > 0.5", "no label 'Dgo'; did you mean Dog"),
        ("label:Dog > loud", "a score is a number from 0 to 1, not 'loud'"),
        ("label:Dog > 50", "from 0 to 1"),
        ("label:Dog > nan", "from 0 to 1"),
        ("label:Dog = 0.5", "is no condition"),
        ("label:Dog > 0.5 and", "ends with 'and'"),
        ("label:", "names no label"),
        ("label:Dog < 0.01", "keeps scores of at least 0.05"),
        ("Dog", "did you mean 'label:Dog'"),
        ("dog bark > 0.3", "did you mean 'label:Dog bark > 0.3'"),
        ("nothing.wav", "there is no file 'nothing.wav'"),
        ("nothing.wav@1-2", "there is no file 'nothing.wav'"),
        ("", "there is no file ''"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(text, message):
    with pytest.raises(AuricleError, match=message):
        read_query([text], [], INFO)


def test_condition_holds_on_its_side_of_the_bound():
    held = {sign: LabelCondition("Dog", sign, 0.5).holds(0.5) for sign in (">", ">=", "<", "<=")}
    assert held == {">": False, ">=": True, "<": False, "<=": True}
    assert LabelCondition("Dog", "<", 0.5).holds(0.2)
    assert not LabelCondition("Dog", ">", 0.5).holds(0.2)


def test_examples_are_files_parts_of_files_and_spans(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("night.wav", "night.wav@1-2", "77"):
        (tmp_path / name).touch()
    night = str(tmp_path / "night.wav")
    asked = ["night.wav", "night.wav@12-15.5", "night.wav@1:30-1:02:00", "night.wav@1-2", "#12", "34", "77"]
    assert read_query(asked, [], INFO).like == (
        SoundExample(night),
        SoundExample(night, 12.0, 15.5),
        SoundExample(night, 90.0, 3720.0),
        SoundExample(str(tmp_path / "night.wav@1-2")),  # a file of that name comes first
        SpanExample(12),
        SpanExample(34),
        SoundExample(str(tmp_path / "77")),
    )


@pytest.mark.parametrize("part", ["5-5", "6-5", "1.2.3-9", "1:2:3:4-9"])
def test_impossible_parts_are_refused(tmp_path, part):
    (tmp_path / "a.wav").touch()
    with pytest.raises(AuricleError, match=r"after the start|is no time"):
        read_query([f"{tmp_path / 'a.wav'}@{part}"], [], INFO)


def test_queries_that_do_not_go_together_are_refused():
    with pytest.raises(AuricleError, match="--unlike needs an example"):
        read_query(["label:Dog"], ["#3"], INFO)
    with pytest.raises(AuricleError, match="a query of its own"):
        read_query(["duplicates", "#3"], [], INFO)
    with pytest.raises(AuricleError, match="#3 is named as what is meant and"):
        read_query(["#2", "#3"], ["3"], INFO)
    assert read_query(["duplicates"], [], INFO) == SearchQuery(duplicates=True)


def test_an_example_that_is_named_twice_counts_once():
    assert read_query(["#1", "1", "#2"], ["#3", "#3"], INFO) == read_query(["#1", "#2"], ["#3"], INFO)


def test_query_is_told_in_words():
    assert str(read_query(["#1", "#2", "label:Dog > 0.5"], ["#3"], INFO)) == "like #1 and #2, unlike #3, with Dog > 0.5"
