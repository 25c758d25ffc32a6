"""``--help`` is short and grouped, ``--help all`` is whole, and old spellings are in neither."""

from __future__ import annotations

import re

import pytest

from auricle.cli import aliases
from auricle.cli.main import TOPICS, VERBS, main, parser_of

OPTION = re.compile(r"^  (--(?:\[no-\])?[a-z0-9-]+)", re.MULTILINE)
ZERO_IS_A_NUMBER = ("jitter", "layer")  # decibels, and the index of a layer
MANY = 20  # options of a short help


def text_of(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_short_and_help_all_is_complete(verb, capsys):
    short, whole = text_of([*verb.split(), "--help"], capsys), text_of([*verb.split(), "--help", "all"], capsys)
    few, every = OPTION.findall(short), OPTION.findall(whole)
    assert short.startswith(f"usage: auricle {verb}")
    assert len(few) <= MANY
    assert set(few) <= set(every)
    more = len(every) - len(few)
    line = f"{more} more option{'s' * (more > 1)}: auricle {verb} --help all"
    assert (line in short) == (more > 0)
    assert "answer:\n" in short


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_a_meaning_and_no_old_value_for_not_set(verb):
    for actions in parser_of(verb).sections(everything=True).values():
        for action in actions:
            assert action.help, action.dest
            special = re.search(r"(?:^|[;,(] ?)(?:0|-1|empty):", action.help)
            assert special is None or action.dest in ZERO_IS_A_NUMBER, (action.dest, action.help)


@pytest.mark.parametrize("verb", VERBS)
def test_old_options_are_absent_from_help(verb, capsys):
    whole = text_of([*verb.split(), "--help", "all"], capsys)
    assert not [old for old in aliases.OPTIONS.get(verb, {}) if old in whole]


def test_a_named_method_shows_its_own_settings(capsys):
    assert "--mask-ratio" in text_of(["pretrain", "--method", "m2d", "--help"], capsys)
    assert "--mask-ratio" not in text_of(["pretrain", "--help"], capsys)


def test_the_overview_is_ordered_by_task(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [line.removesuffix(":") for line in text.splitlines() if line.endswith(":")] == list(TOPICS)
    assert all(verb in text for verb in VERBS)
    assert not [old for old in aliases.VERBS if f"  {old} " in text]


def test_a_group_of_verbs_lists_them(capsys):
    assert main(["models", "--help"]) == 0
    assert "models verify" in capsys.readouterr().out


def test_help_is_a_verb_too(capsys):
    assert main(["help"]) == 0
    assert "find out what is in recordings" in capsys.readouterr().out
    assert text_of(["help", "tag"], capsys) == text_of(["tag", "--help"], capsys)
