"""Every command line that the documentation shows is one that the parser takes, in today's spelling."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from auricle.cli import aliases
from auricle.cli.flags import with_dashes
from auricle.cli.main import VERBS, parser_of
from auricle.core.errors import AuricleError

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^```(?:bash|console)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\S+ )?auricle [a-z][^`]*)`")
# up to a comment, a pipe, a redirection or an explanation; what is quoted may hold their signs
SHOWN = re.compile(r"""(?:'[^']*'|"[^"]*"|(?!\s#\s|\s[|>]\s|\s{3,}[a-z]).)*""")
NOT_PARSED = {"original"}  # what follows is another program's command line


def command_lines(page: Path, *, whole: bool) -> Iterator[str]:
    """Yield the command lines of a page: those of its blocks (whole ones) or those in its sentences (often in part)."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(FENCED.findall(text)).replace("\\\n", " ").splitlines()
    sentences = [
        found.replace("\n", " ") for found in INLINE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    ]
    for line in blocks if whole else sentences:
        shown = SHOWN.match(line.removeprefix("$ ").strip())[0]
        found = re.search(r"(?:^|\s|/)auricle ([a-z].*)", shown)
        if found and not re.search(r"…|\.\.\.|\bVERB\b|[{}]", found[1]):
            yield found[1]


def refused(line: str, *, whole: bool) -> str | None:
    """Return why a command line is refused, or None. Of a part only the options are looked at."""
    words = shlex.split(line)
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in VERBS or name in aliases.VERBS), None)
    if name is None:
        return None if any(verb.startswith(f"{words[0]} ") for verb in VERBS) else "no such verb"
    verb, words = aliases.translate(name, words[len(name.split()) :])
    if verb in NOT_PARSED or "--continue" in words:
        return None
    try:
        parser = parser_of(verb, words)
        if whole and "--help" not in words:
            values, extra = parser.read(words)
            if extra := aliases.place(verb, values, extra):
                return f"unknown: {extra}"
            parser.check_required(values)
    except AuricleError as error:
        return None if re.search(r"'[A-Z]+'", str(error)) else str(error)  # a placeholder: --preset NAME
    options = {word.partition("=")[0] for word in with_dashes(words) if word.startswith("--") and word != "--help"}
    return f"unknown: {unknown}" if (unknown := options - set(parser._option_string_actions)) else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_parser_takes_every_command_line(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [
        f"auricle {line}: {reason}"
        for whole in (True, False)
        for line in command_lines(page, whole=whole)
        if (reason := refused(line, whole=whole))
    ]
    errors = capsys.readouterr().err
    assert wrong == [], errors
    assert errors == "", "an old spelling"
