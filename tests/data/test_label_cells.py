"""Cells of label columns: separated names, lists of several languages, names with commas, and what is refused."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.data.manifest.label_cells import comma_note, is_doubtful, joined_names, name_notes, names_in

LISTS = {
    "JSON": '["dog", "loud"]',
    "Python": "['dog', 'loud']",
    "Python 2": "[u'dog', u'loud']",
    "tuple": "('dog', 'loud',)",
    "NumPy array": "['dog' 'loud']",
    "NumPy array on two lines": "['dog'\n 'loud']",
    "NumPy 2 scalars": "[np.str_('dog'), np.str_('loud')]",
    "repr of an array": "array(['dog', 'loud'], dtype=object)",
    "without quotes": "[dog, loud]",
    "one list each": "[dog],[loud]",
    "with missing values": "['dog', None, nan, 'loud']",
    "blanks around": '  [ "dog" , "loud" ]  ',
    "plain": "dog,loud",
    "plain with blanks": " dog , loud ",
    "a typed list": ["dog", None, "loud", float("nan")],
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_names_are_read_in_every_spelling(kind):
    assert names_in(LISTS[kind]) == ("dog", "loud")


@pytest.mark.parametrize("cell", ["[]", "()", "set()", "[None]", "[ ]", '""', [], [None]])
def test_an_empty_list_has_no_names(cell):
    assert names_in(cell) == ()


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("{'dog'}", ("dog",)),
        ("frozenset({'dog'})", ("dog",)),
        ('["it\'s", "a, b"]', ("it's", "a, b")),
        ("[3, 17]", ("3", "17")),
        ("[3 17]", ("3", "17")),
        ("(unknown)", ("(unknown)",)),
        ('"[noise]"', ("[noise]",)),
        (["[noise]"], ("[noise]",)),
        ("set", ("set",)),
        (3.0, ("3",)),
    ],
)
def test_other_cells_are_read_as_meant(cell, names):
    assert names_in(cell) == names


@pytest.mark.parametrize(
    "cell",
    [
        *('["dog"', "['dog', ", "['dog'] and ['cat']", '[["dog"]]', '{"dog": 1}', "['a''b']", "['\\x']", "[[[dog]]"),
        *(
            "[0, 1, 0]",
            "[0 1 0]",
            "[0. 1. 0.]",
            "[True, False]",
            "[true, false, true]",
            [0, 1, 0],
            [["dog"]],
            {"dog": 1},
        ),
        "[" * 5000,
    ],
)
def test_what_is_no_list_of_names_is_refused(cell):
    with pytest.raises((ValueError, csv.Error)):
        names_in(cell)


def test_commas_inside_audiosets_names_separate_nothing():
    assert names_in("Child speech, kid speaking") == ("Child speech, kid speaking",)
    assert names_in("Speech, Child speech, kid speaking, dog") == ("Speech", "Child speech, kid speaking", "dog")
    assert names_in("Speech, dog") == ("Speech", "dog")


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from("[]({,'\""), min_size=1, max_size=6
)


@settings(max_examples=300, deadline=None)
@given(st.lists(names | st.sampled_from(["[dog]", "set()", "['a']", "Chirp", "tweet", "Chirp, tweet"]), max_size=3))
def test_written_cells_are_read_as_the_same_names(labels):
    assert names_in(joined_names(labels)) == tuple(labels)


def test_a_comma_is_doubted_where_no_name_stands_without_the_other():
    cells = {"Rain, heavy"}
    assert "'Rain, heavy' is taken for 2 labels" in comma_note(cells, [("Rain", "heavy"), ("dog",)], "m.csv")[0]
    assert comma_note(cells, [("Rain", "heavy"), ("Rain",)], "m.csv") == ()
    assert comma_note({"dog, rain"}, [("dog", "rain"), ("dog", "cat")], "m.csv") == ()
    assert comma_note(set(), [("dog", "rain")], "m.csv") == ()
    assert not any(map(is_doubtful, ['"Rain, heavy"', "['a', 'b']", "dog,rain", 3]))


def test_signs_between_labels_that_separate_nothing_are_pointed_out():
    assert "'dog;rain' is taken for one label" in name_notes(["cat", "dog;rain", "dog|rain"], "m.csv")[0]
    assert name_notes(["cat"], "m.csv") == ()


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "null", "NA", "N/A", "#N/A"])
def test_words_for_an_empty_cell_and_spellings_of_one_label_are_pointed_out(word):
    assert f"'{word}' is taken for a label" in name_notes(["cat", word], "m.csv")[0]
    assert "'Cat' and 'cat' are taken for two labels" in name_notes(["cat", "Cat", "dog"], "m.csv")[0]


def test_arrays_of_databases_are_lists():
    assert names_in("{dog,rain, heavy wind}") == ("dog", "rain", "heavy wind")
