"""Which recorder made a recording, where and when: from the names of its files and folders, or from a table of the user."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any

from auricle.audio.recording_time import find_time, start_time
from auricle.core.errors import AuricleError
from auricle.data.manifest.tables import place_of_row, read_table

PATH_COLUMNS = ("path", "pattern", "file")
COLUMNS = ("recorder", "place", "began", "latitude", "longitude")
CHANNELS = re.compile(r"[_-]0\+1$|[_-][01]$|__[01]__$")  # SM2 and SM3 name the channels before the date
BIRDNET_HEAD = re.compile(r"^\d(?:\.\d+)?_\d+_", re.ASCII)  # confidence and number of a segment of BirdNET-Analyzer
POSITION = re.compile(
    r"[\[(_]?([+-]\d{1,2}\.\d+)[,_ ]?([+-]\d{1,3}\.\d+)[\])]?", re.ASCII
)  # Frontier Labs: [-27.4+153.1]
# words in names that are the same for every recorder of a kind
GENERIC = re.compile(r"rec(ord(ing)?)?|audio|sound|voice|zoom|dr|ste|file|clip|part|segment|track|tr|memo|new")
# folders that memory cards and programs make
GENERIC_FOLDER = re.compile(r"data|audio|wavs?|waves?|flac|sounds?|rec(ord(ing)?s?)?|files?|block|dcim|raw|sd|card")


@dataclass(frozen=True)
class RecordingPlace:
    """Who recorded, where and when; "" and None where neither names nor a table say it.

    Attributes:
        recorder: name or serial number of the recorder.
        place: name of the place.
        began: the recorder's clock at the first sample.
        latitude, longitude: degrees.
    """

    recorder: str = ""
    place: str = ""
    began: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None


def describe(path: str | Path, table: RecorderTable | None = None) -> RecordingPlace:
    """Return recorder, place and time of a recording.

    The recorder is what stands before the time in the name (``S4A01234_20240601_053000.wav``, also the serial number that
    AudioMoth may write), else the name of the folder. The place is the name of the folder. Folders whose names are dates
    or say nothing ("Data", "wav") are skipped. Of names without a time, nothing is guessed.

    Args:
        path: the recording.
        table: what the user says about recordings; its cells come before the names.

    Returns:
        RecordingPlace.

    Example:
        >>> describe("pond/S4A01234_20240601_053000.wav").recorder
        'S4A01234'
    """
    pure = PurePath(path)
    place = _from_name(pure)
    return place if table is None else table.apply(pure, place)


def _from_name(path: PurePath) -> RecordingPlace:
    began = start_time(str(path))
    if began is None:
        return RecordingPlace()
    position = POSITION.search(path.stem)
    latitude, longitude = (float(position[1]), float(position[2])) if position else (None, None)
    if latitude is not None and longitude is not None and (abs(latitude) > 90 or abs(longitude) > 180):
        latitude = longitude = None
    folder = _folder(path)
    return RecordingPlace(_prefix(path) or folder, folder, began, latitude, longitude)


def _prefix(path: PurePath) -> str:
    """What stands before the time in a name; "" for a word that is no name."""
    time = find_time(path)
    before = path.stem[: time[1]] if time else ""
    name = CHANNELS.sub("", BIRDNET_HEAD.sub("", before).rstrip("-_. $")).strip("-_. ")
    return "" if GENERIC.fullmatch(_letters(name)) else name


def _folder(path: PurePath) -> str:
    """The nearest folder with a name that says something."""
    for name in path.parts[-2::-1]:
        letters = _letters(name)
        if letters and not GENERIC_FOLDER.fullmatch(letters) and name != path.anchor:
            return name
    return ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name)).lower()


# ---- a table of the user
@dataclass(frozen=True)
class RecorderRow:
    """A row of a table: what is known of the recordings whose paths match ``pattern``."""

    pattern: str
    place: RecordingPlace

    def matches(self, path: str) -> bool:
        """Return True if the pattern is the end of the path, from a folder on: ``pond/*.wav`` of ``/data/pond/a.wav``."""
        return fnmatchcase(path, self.pattern) or fnmatchcase(path, f"*/{self.pattern.lstrip('/')}")


@dataclass(frozen=True)
class RecorderTable:
    """Rows of a table; of several that match, the first with a value decides."""

    rows: tuple[RecorderRow, ...] = ()

    def apply(self, path: PurePath, place: RecordingPlace) -> RecordingPlace:
        """Return ``place`` with the values of the rows that match in place of those from the name."""
        text = path.as_posix()
        found: dict[str, Any] = {}
        for row in self.rows:
            if row.matches(text):
                for name in COLUMNS:
                    value = getattr(row.place, name)
                    if value not in ("", None):
                        found.setdefault(name, value)
        return replace(place, **found)


def read_recorders(path: str | Path) -> RecorderTable:
    """Read a table of recorders.

    Args:
        path: CSV, TSV, JSON or Parquet with a column ``path`` (or ``pattern``: a path, its end, or one with * and ?), and any
            of ``recorder``, ``place``, ``began`` (2024-06-01T05:30:00), ``latitude`` and ``longitude`` in degrees. Empty
            cells leave what the name says.

    Returns:
        RecorderTable.

    Raises:
        AuricleError: for a file that cannot be read, without a column of paths or any other known one, and for a cell that
            is no time or number.
    """
    rows: list[RecorderRow] = []
    for number, row in enumerate(read_table(Path(path))):
        cells = {name.strip().lower(): "" if cell is None else str(cell).strip() for name, cell in row.items()}
        pattern = next((name for name in PATH_COLUMNS if name in cells), None)
        if pattern is None or not set(COLUMNS) & cells.keys():
            missing = "path" if pattern is None else " or ".join(COLUMNS)
            raise AuricleError(
                f"{path} is no table of recorders: no column {missing}; its columns are {', '.join(cells) or 'none'}"
            )
        where = place_of_row(Path(path), number)
        if not cells[pattern]:
            raise AuricleError(f"{where}: no {pattern}; name a recording or a pattern such as pond/*.wav")
        values: dict[str, Any] = {name: _value(name, cells[name], where) for name in COLUMNS if cells.get(name)}
        rows.append(RecorderRow(cells[pattern].replace("\\", "/").removeprefix("./"), RecordingPlace(**values)))
    return RecorderTable(tuple(rows))


def _value(name: str, cell: str, where: str) -> str | float | datetime:
    if name in ("recorder", "place"):
        return cell
    try:
        if name == "began":
            return datetime.fromisoformat(cell).replace(tzinfo=None)
        degrees, most = float(cell), 90.0 if name == "latitude" else 180.0
    except ValueError:
        kind = "a date and time such as 2024-06-01T05:30:00" if name == "began" else "degrees such as -27.47"
        raise AuricleError(f"{where}: {name} '{cell}' is not {kind}") from None
    if not abs(degrees) <= most:
        raise AuricleError(f"{where}: {name} {cell} is not between -{most:g} and {most:g} degrees")
    return degrees
