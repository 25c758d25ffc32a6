"""Every command line in the documentation and in the help of the verbs is in today's grammar."""

from __future__ import annotations

import re
import shlex

import pytest

from auricle.cli.main import VERBS, entry_of, read
from auricle.core.errors import AuricleError
from helpers.paths import ROOT

FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:torchrun .*-m )?auricle (.*)$")
# a command, up to a comment, a redirection, a pipe or an explanation; what is quoted may hold their signs
END = re.compile(r"""(?:'[^']*'|"[^"]*"|(?!\s{2,}\S|\s+[#|>&]|\s+-\s+\|).)*""")
INLINE = re.compile(r"`auricle ([^`]+)`")
PLACEHOLDERS = ("…", "...", "[", "--continue", "--preset NAME")
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.is_file()]


def commands_in(text: str) -> list[str]:
    """The words after ``auricle`` of every command line, continued lines joined, comments and redirections cut."""
    joined = text.replace("\\\n", " ")
    lines = (match[1] for line in joined.splitlines() if (match := LINE.match(line)))
    return [END.match(line)[0].strip() for line in lines]


def check(command: str, capsys, *, whole: bool) -> None:
    """Parse one command; ``whole``: nothing may be missing."""
    if any(part in command for part in PLACEHOLDERS) or command.startswith(("--", "VERB")):
        return
    words = shlex.split(command)
    verb = " ".join(words[:2]) if " ".join(words[:2]) in VERBS else words[0]
    if verb not in VERBS:
        assert not whole, command
        return
    try:
        read(verb, words[len(verb.split()) :])
    except SystemExit:  # --help
        pass
    except AuricleError as error:
        missing = re.search(r" needs |name the recordings|name the encoder|expected", str(error))
        if whole or not missing:
            pytest.fail(f"auricle {command}: {error}")
    assert "old spelling" not in capsys.readouterr().err, f"auricle {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_of_a_page_are_in_the_present_grammar(page, capsys):
    text = page.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        for command in commands_in(block):
            check(command, capsys, whole=True)
    for command in INLINE.findall(FENCE.sub("", text)):
        check(command, capsys, whole=False)


@pytest.mark.parametrize("verb", VERBS)
def test_commands_in_the_help_of_a_verb_are_in_todays_grammar(verb, capsys):
    for command in commands_in(entry_of(verb).__doc__ or ""):
        check(command, capsys, whole=True)
