"""Label tracks beside recordings: files of Audacity (``night.txt``, ``night.labels.txt``) and selection tables of Raven
(``night.selections.txt``, ``night.Table.1.selections.txt``), which hold the events of one recording.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Segment
from auricle.data.manifest.locate import file_name, stem
from auricle.data.manifest.rows import SYNONYMS, plain_name

SUFFIX = ".txt"
NAMED = re.compile(
    r"(.+?)(?:\.BirdNET)?(?:\.Table\.\d+)?\.(?:labels?|selections?|selection\.table)\.txt", re.IGNORECASE
)
SNIFFED = 1000  # files called NAME.txt that are looked into; where none is a label track, they are other text
FREQUENCIES = "\\"  # begins Audacity's second line of an event: lowest and highest frequency
RAVEN_TIMES = ("begin_time_s", "end_time_s")
RAVEN_LABELS = (
    "annotation",
    "annotations",
    *SYNONYMS["labels"],
    "common_name",
    "sound_type",
    "call_type",
    "type",
    "code",
    "id",
)
RAVEN_OWN = {  # columns that Raven measures or numbers; another one may hold the label
    *("selection", "view", "channel", "begin_time_s", "end_time_s", "low_freq_hz", "high_freq_hz", "delta_time_s"),
    *("begin_file", "end_file", "begin_path", "end_path", "file_offset_s", "confidence", "score", "species_code"),
}


class LabelTrack(NamedTuple):
    """The events of a label track, and how many of them had frequencies (which are not used)."""

    events: tuple[Segment, ...]
    frequencies: int = 0


class Tracks(NamedTuple):
    """Label tracks of a folder.

    Attributes:
        of: events by the relative path of the recording.
        notes: what was understood, and what has no partner.
    """

    of: Mapping[str, tuple[Segment, ...]]
    notes: tuple[str, ...]


def tracks_of(folder: Path, audio: Sequence[str], texts: Iterable[str], label_column: str | None = None) -> Tracks:
    """Find the label tracks beside recordings and read them.

    Args:
        folder: that the names are relative to.
        audio: names of the recordings.
        texts: names of text files.
        label_column: column of the labels in selection tables; None: annotation, label, species, ….

    Raises:
        AuricleError: a label track cannot be read; the message names the line.
    """
    named, plain = _sorted(texts)
    by_place: dict[str, list[str]] = defaultdict(list)
    for name in audio:
        for place in {stem(name), file_name(name)}:
            by_place[_beside(name, place)].append(name)
    paired = [(name, place) for name, place in plain if place in by_place]
    if any(_is_track(folder / name) for name, _ in paired[:SNIFFED]):
        named += [(name, place) for name, place in paired if _is_track(folder / name, or_empty=True)]
    events: dict[str, list[Segment]] = {}
    alone: list[str] = []
    count, frequencies = 0, 0
    for name, place in sorted(named):
        owners = by_place.get(place, [])
        if not owners:
            alone.append(name)
            continue
        track = read_track(folder / name, label_column)
        count, frequencies = count + 1, frequencies + track.frequencies
        for owner in owners:
            events.setdefault(owner, []).extend(track.events)
    found = {name: tuple(dict.fromkeys(sorted(their))) for name, their in events.items()}
    return Tracks(found, tuple(_notes(found, audio, count, frequencies, alone)))


def _sorted(texts: Iterable[str]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the files that are label tracks by their names, and the others, each with the place of its recording."""
    named, plain = [], []
    for name in texts:
        match = NAMED.fullmatch(file_name(name))
        if match:
            named.append((name, _beside(name, match[1])))
        else:
            plain.append((name, _beside(name, file_name(name)[: -len(SUFFIX)])))
    return named, plain


def _beside(name: str, other: str) -> str:
    """Return the path of another file beside a file."""
    return name[: len(name) - len(file_name(name))] + other


def _notes(
    found: Mapping[str, Sequence[Segment]], audio: Sequence[str], count: int, frequencies: int, alone: Sequence[str]
) -> Iterable[str]:
    if found:
        total = sum(map(len, found.values()))
        classes = len({event.label for events in found.values() for event in events})
        tracks, recordings, events = (
            number_of(count, "label track"),
            number_of(len(found), "recording"),
            number_of(total, "event"),
        )
        yield (
            f"{tracks} beside {recordings} {'holds' if count == 1 else 'hold'} {events} of "
            f"{number_of(classes, 'class')}"
        )
        missing = [name for name in audio if name not in found]
        if missing:
            yield (
                f"{len(missing)} of {len(audio)} recordings have no label track and are taken to be not annotated, such as "
                f"{missing[0]}; an empty file {stem(missing[0])}.txt beside it says that nothing is in it"
            )
    if frequencies:
        yield f"the lowest and highest frequencies of {frequencies} events are not used"
    if alone:
        yield f"{len(alone)} label tracks have no recording beside them and are not used, such as {alone[0]}"


def read_track(path: Path, label_column: str | None = None) -> LabelTrack:
    """Read a label track: lines of start, end and label separated by tabs, or a selection table of Raven with its header.

    Args:
        path: the file.
        label_column: column of the labels of a selection table.

    Returns:
        The events. An empty file has none. An event of no length is a point.

    Raises:
        AuricleError: the file is no label track, an event has no label, or it ends before it starts.
    """
    lines = _lines(path)
    if lines and _raven_header(lines[0][1]):
        return _raven(path, lines, label_column)
    events: list[Segment] = []
    frequencies = 0
    for number, line in lines:
        if line.startswith(FREQUENCIES):
            frequencies += 1
            continue
        cells = line.split("\t")
        times = [_seconds(cell) for cell in cells[:2]]
        if len(cells) < 2 or None in times:
            raise AuricleError(
                f"{path} line {number}: expected start, end and label separated by tabs (seconds), found {line[:80]!r}"
            )
        label = " ".join(cells[2:]).strip()
        events.append(_event(path, number, times[0], times[1], label))
    return LabelTrack(tuple(events), frequencies)


def _raven(path: Path, lines: Sequence[tuple[int, str]], label_column: str | None) -> LabelTrack:
    header = [plain_name(name) for name in lines[0][1].split("\t")]
    start, end = (header.index(name) for name in RAVEN_TIMES)
    place = _label_place(path, lines[0][1].split("\t"), label_column) if len(lines) > 1 else 0
    events = []
    for number, line in lines[1:]:
        cells = [*line.split("\t"), *[""] * len(header)]
        onset, offset = _seconds(cells[start]), _seconds(cells[end])
        if onset is None or offset is None:
            raise AuricleError(f"{path} line {number}: a selection needs its begin and end time, found {line[:80]!r}")
        events.append(_event(path, number, onset, offset, cells[place].strip()))
    distinct = tuple(dict.fromkeys(events))  # Raven lists a selection once for each view
    return LabelTrack(distinct, len(distinct) if "low_freq_hz" in header else 0)


def _label_place(path: Path, header: Sequence[str], label_column: str | None) -> int:
    """Return the place of the column of the labels: as named, a usual name, or the only one that Raven does not make."""
    plain = [plain_name(name) for name in header]
    if label_column is not None:
        if plain_name(label_column) not in plain:
            raise AuricleError(f"{path} has no column '{label_column}'; its columns are {', '.join(header)}")
        return plain.index(plain_name(label_column))
    for name in RAVEN_LABELS:
        if name in plain:
            return plain.index(name)
    others = [place for place, name in enumerate(plain) if name and name not in RAVEN_OWN]
    if len(others) == 1:
        return others[0]
    raise AuricleError(
        f"{path} has no column for the label of a selection; found {', '.join(header)}; add a column Annotation in Raven, or "
        "name one with --label-column"
    )


def _event(path: Path, number: int, onset: float | None, offset: float | None, label: str) -> Segment:
    assert onset is not None
    assert offset is not None
    if not label:
        raise AuricleError(f"{path} line {number}: the event at {onset:g} s has no label; name its class")
    if offset < onset:
        raise AuricleError(f"{path} line {number}: the event '{label}' ends at {offset:g} s but starts at {onset:g} s")
    return Segment(onset, offset, label)


def _seconds(cell: str) -> float | None:
    """Return a time, with a point or a decimal comma; None for anything else."""
    try:
        value = float(cell.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _raven_header(line: str) -> bool:
    return set(RAVEN_TIMES) <= set(map(plain_name, line.split("\t")))


def _is_track(path: Path, or_empty: bool = False) -> bool:
    """Return True if a text file begins like a label track."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    text = head.decode(_encoding(head), "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return or_empty
    cells = lines[0].split("\t")
    return _raven_header(lines[0]) or (len(cells) >= 2 and None not in map(_seconds, cells[:2]))


def _encoding(head: bytes) -> str:
    return "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a file that are not blank, each with its number."""
    try:
        content = path.read_bytes()
        text = content.decode(_encoding(content))
    except OSError as error:
        raise AuricleError(f"cannot read the label track {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise AuricleError(f"cannot read the label track {path}: it is not UTF-8 text (byte {error.start})") from None
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
