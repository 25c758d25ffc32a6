"""Read and write the cells of label columns: names separated by commas, and lists as JSON, Python and NumPy write them."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from auricle.data.audioset import audioset_classes

WRAPPED = re.compile(r"(?:array|list|set|frozenset|tuple)\(((?:[\[({].*?)?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL)
QUOTED = r"""[bBuU]?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
SCALAR = re.compile(rf"np\.\w+\(({QUOTED}|[^()'\"]*)\)")  # NumPy 2 writes np.str_('dog')
ITEM = re.compile(rf"\s*({QUOTED}|None|null|nan|NaN|[-+.\deE]+)(?:\s*(?:,|$)|\s+(?=\S))", re.DOTALL)
BARE = re.compile(r"\[[^\[\]\"']*\](?:\s*,\s*\[[^\[\]\"']*\])*")  # [dog, rain], and [noise],[laughter]
NOTHING = ("", "None", "null", "nan", "NaN")
ABSENT = frozenset(
    ("None", "null", "NULL", "nan", "NaN", "NA", "N/A", "#N/A", "#VALUE!", "#REF!")
)  # written for an empty cell


def names_in(cell: Any) -> tuple[str, ...]:
    """Return the names in a cell: ("a", "b") of "a,b", '["a", "b"]', "['a' 'b']" or a list.

    A quoted empty text ('""') is the empty list, as opposed to no cell at all. Commas inside AudioSet's names
    ("Child speech, kid speaking") separate nothing.

    Raises:
        ValueError: The cell looks like a list but is none, or holds numbers with repetitions (a vector of 0 and 1).
        csv.Error: Quotes do not match.
    """
    if isinstance(cell, str):
        items = _parsed(cell.strip())
    elif isinstance(cell, Mapping):
        raise ValueError("a mapping")
    elif isinstance(cell, Iterable) and not isinstance(cell, bytes):
        items = _flat(cell)
    else:
        items = [cell]
    return tuple(text for item in items if not _is_nothing(item) and (text := text_of(item)))


def text_of(cell: Any) -> str:
    """Return the text of a value: "3" of 3.0, without blanks at its ends."""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


def _is_nothing(item: Any) -> bool:
    return item is None or item != item


def _parsed(text: str) -> Sequence[Any]:
    if wrapped := WRAPPED.fullmatch(text):
        text = wrapped[1].strip()
        if not text:
            return []
    if text.startswith("[") or re.match(r"[({]\s*(?:[bBuU]?['\"]|[)}]$)", text):
        return _listed(text)
    if re.fullmatch(r"\{[^{}\"']*\}", text):  # {dog,rain}, as PostgreSQL writes arrays
        return [item for item in map(str.strip, text[1:-1].split(",")) if item not in NOTHING]
    if "," not in text and not text.startswith('"'):
        return [text]
    if ", " in text and '"' not in text:
        return _without_splitting(text.split(","), audioset_names_with_commas())
    return next(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True), [])


def _listed(text: str) -> Sequence[Any]:
    """Return the items of a text that begins like a list."""
    try:
        return _flat(json.loads(text))
    except json.JSONDecodeError:
        pass
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if BARE.fullmatch(text):
        return _bare(re.sub(r"[\[\]]", "", text))
    if not text.endswith({"[": "]", "(": ")", "{": "}"}[text[0]]):
        raise ValueError("a list without an end")
    body = SCALAR.sub(r"\1", text[1:-1]).strip()
    items, at = [], 0
    while at < len(body):
        match = ITEM.match(body, at)
        if match is None:
            raise ValueError("not a list of names")
        items.append(match[1])
        at = match.end()
    return _flat([_literal(item) for item in items if item not in NOTHING])


def _bare(text: str) -> list[Any]:
    """Return the items of "dog, rain" or, as NumPy writes numbers, of "3. 17."."""
    cells = re.split(r"[\s,]+", text.strip())
    if all(map(_is_number, cells)):
        return _flat(list(map(float, cells)))
    if set(cells) <= {"True", "False"} and len(cells) > 1:
        raise ValueError("a vector of truth values does not name classes")
    return [item for item in map(str.strip, text.split(",")) if item not in NOTHING]


def _literal(item: str) -> Any:
    try:
        value = ast.literal_eval(item)
    except SyntaxError:
        raise ValueError(f"{item} is no name") from None
    return value.decode() if isinstance(value, bytes) else value


def _flat(values: Any) -> list[Any]:
    """Return a list of names or numbers. Raises ValueError for nested lists, mappings, and numbers that repeat."""
    items = list(values) if isinstance(values, Iterable) and not isinstance(values, (str, Mapping)) else [values]
    if any(
        isinstance(item, (Mapping, bytes, bool)) or (isinstance(item, Iterable) and not isinstance(item, str))
        for item in items
    ):
        raise ValueError("not a list of names")
    numbers = [float(item) for item in items if _is_number(item)]
    if len(set(numbers)) < len(numbers):
        raise ValueError("numbers that repeat: a vector of 0 and 1 does not name classes")
    return items


def _is_number(item: Any) -> bool:
    try:
        return not _is_nothing(item) and float(item) == float(item)
    except (TypeError, ValueError):
        return False


@cache
def audioset_names_with_commas() -> frozenset[str]:
    return frozenset(name for _, name in audioset_classes() if "," in name)


def _without_splitting(parts: Sequence[str], whole: Collection[str]) -> list[str]:
    """Join the parts that belong together: ["Child speech, kid speaking"] of ["Child speech", " kid speaking"]."""
    joined, at = [], 0
    while at < len(parts):
        ends = (end for end in range(len(parts), at, -1) if ",".join(parts[at:end]).strip() in whole)
        end = next(ends, at + 1)
        joined.append(",".join(parts[at:end]).strip())
        at = end
    return joined


def is_doubtful(cell: Any) -> bool:
    """Return True for a text with a comma and a blank, outside quotes and lists: two labels, or a name like "Rain, heavy"."""
    return isinstance(cell, str) and ", " in cell and '"' not in cell and cell.lstrip()[:1] not in ("[", "(", "{")


class LabelNote(str):
    """A note about labels, of no interest where labels are not needed."""


class CommaNote(LabelNote):
    """A note that no longer holds once a class list says which commas are parts of names."""


def comma_note(cells: Collection[str], lists: Iterable[Sequence[str]], where: str) -> tuple[str, ...]:
    """Return a note if the commas in a label column may be parts of names: "Rain, heavy" where neither stands elsewhere.

    Args:
        cells: Distinct cells that are doubtful.
        lists: The labels of the clips of the table.
        where: Name of the table.
    """
    several = {tuple(names_in(cell)) for cell in cells}
    lists = list(lists)
    groups: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for names in lists:
        for name in names:
            groups[name].add(tuple(names))
    joined = {tuple(names) for names in lists if len(names) > 1}
    if not joined or not joined <= several or any(len(groups[name]) > 1 for names in joined for name in names):
        return ()
    names = min(joined)
    text = (
        f"{where}: '{', '.join(names)}' is taken for {len(names)} labels, though neither is anywhere without the other; if "
        f"it is one label, quote it inside the cell, or give the class list with --classes"
    )
    return (CommaNote(text),)


def name_notes(names: Collection[str], where: str) -> tuple[str, ...]:
    """Return notes about labels that are probably meant otherwise.

    These are signs that other programs put between labels, words that other programs write into empty cells, and
    labels that differ only in capitals.
    """
    notes = []
    if strange := [name for name in names if ";" in name or "|" in name]:
        notes.append(f"'{min(strange)}' is taken for one label; several labels in a cell are separated by commas")
    if absent := ABSENT.intersection(names):
        notes.append(f"'{min(absent)}' is taken for a label; if it stands for no label, leave the cell empty")
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spellings[name.casefold()].append(name)
    if alike := [f"'{same[0]}' and '{same[1]}'" for same in spellings.values() if len(same) > 1]:
        notes.append(f"{alike[0]} are taken for two labels; if they are one, write both alike")
    return tuple(LabelNote(f"{where}: {note}") for note in notes)


def joined_names(names: Collection[str]) -> str:
    """Return the text of a cell that ``names_in`` reads as these names."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # names with commas are quoted
    if any(map(_may_be_read_otherwise, names)):
        writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(names or [""])
    return out.getvalue().removesuffix("\r\n")


def _may_be_read_otherwise(name: str) -> bool:
    return name[:1] in "[({" or WRAPPED.fullmatch(name) is not None
