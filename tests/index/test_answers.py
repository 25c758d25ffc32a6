"""Answers about spans of recordings, and the table that holds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.index.answers import ANSWERS, Answer, newest, read_answers, write_answers

TEXT = st.text(st.characters(exclude_categories=("C", "Z")), max_size=8)
SHARES = st.none() | st.floats(0.001, 1).map(lambda value: float(f"{value:.6g}"))


@st.composite
def some_answers(draw) -> Answer:
    answer = draw(st.sampled_from(ANSWERS))
    start = draw(st.none() | st.floats(0, 1e5).map(lambda value: round(value, 3)))
    name = draw(TEXT.filter(lambda text: text.strip(".")))
    return Answer(
        path=f"/sounds/{name.replace('/', '')}x.wav",
        start=start,
        end=None if start is None else round(start + draw(st.floats(0.01, 100)), 3),
        label=draw(TEXT.filter(bool)),
        answer=answer,
        other=draw(TEXT) if answer == "other" else "",
        score=draw(SHARES),
        reviewer=draw(TEXT),
        time="2024-06-01T05:30:00+02:00",
        model=draw(TEXT),
        probability=draw(SHARES),
    )


@given(st.lists(some_answers(), max_size=5))
def test_answers_are_read_as_they_were_written(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("answers") / "answers.csv"
    assert read_answers(write_answers(path, answers)) == answers


def test_yes_holds_no_and_other_do_not_and_unsure_says_nothing():
    answers = [Answer("/a.wav", 0.0, 1.0, "Frog", answer) for answer in ("yes", "no", "other", "unsure")]
    assert [answer.holds for answer in answers] == [True, False, False, None]


def test_the_last_answer_of_each_reviewer_counts():
    first = Answer("/a.wav", 0.0, 1.0, "Frog", "yes", reviewer="ann")
    changed = Answer("/a.wav", 0.0, 1.0002, "Frog", "no", reviewer="ann")
    another = Answer("/a.wav", 0.0, 1.0, "Frog", "unsure", reviewer="bob")
    assert newest([first, another, changed]) == [changed, another]


def test_a_table_by_hand_needs_three_columns_and_paths_start_from_its_folder(tmp_path):
    table = tmp_path / "answers.csv"
    table.write_text("Path;Start;End;Label;Answer\nnight/a.wav;1,5;3;Frog;Yes\n", encoding="utf-8")
    assert read_answers(table) == [Answer(str(tmp_path / "night" / "a.wav"), 1.5, 3.0, "Frog", "yes")]
    table.write_text("path,label,answer\na.wav,Frog,no\n", encoding="utf-8")
    assert read_answers(table) == [Answer(str(tmp_path / "a.wav"), None, None, "Frog", "no")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,0,1,Frog,maybe,,", "line 2: an answer is one of yes, no, other, unsure, not 'maybe'"),
        ("a.wav,2,1,Frog,yes,,", "line 2: a span starts at 0 s"),
        ("a.wav,0,,Frog,yes,,", "a start and an end"),
        ("a.wav,x,1,Frog,yes,,", "'x' in the column start is no number"),
        ("a.wav,0,1,,yes,,", "the label that was asked about"),
        ("a.wav,0,1,Frog,yes,Toad,", "only the answer 'other'"),
        ("a.wav,0,1,Frog,yes,,1.5", "between 0 and 1"),
        (",0,1,Frog,yes,,", "path"),
    ],
)
def test_impossible_answers_are_refused_with_their_line(tmp_path, row, message):
    table = tmp_path / "answers.csv"
    table.write_text(f"path,start,end,label,answer,other,score\n{row}\n", encoding="utf-8")
    with pytest.raises(AuricleError, match=message):
        read_answers(table)


def test_another_table_is_no_table_of_answers(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na.wav,Frog\n", encoding="utf-8")
    with pytest.raises(AuricleError, match="has no column answer"):
        read_answers(table)
