"""When a recording began, from the name that its recorder gave it.

Such names are those of AudioMoth and HydroMoth ``20240501_053000.WAV`` (first firmware: ``5AFE2A50.WAV``), Song Meter
``SITE_20240501_053000.wav``, Swift and BAR ``20240501T053000+1000_REC.flac``, SoundTrap ``5042.240501053000.wav``, Zoom and other
hand-held recorders ``240501_053000.wav`` or ``240501-0530.wav``, telephones ``Recording 2024-05-01 05.30.00.m4a``, BirdNET-Pi
``2024-05-01-birdnet-05:30:00.wav``, and files named by the time in a folder named by the date ``2024-05-01/053000.wav``.
A time zone in the name is not applied: the time is the recorder's own clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import PurePath

YEARS = range(1970, 2100)  # of recordings whose recorder has a clock
DATE = r"(?<!\d)(?P<year>\d{4})(?P<date>(?P<between>[-_.]?)\d\d(?P=between)\d\d)"
FOUR_DIGIT_YEAR = re.compile(
    rf"{DATE}(?:[T_ $-]+|at| at |-birdnet-(?:RTSP_\d+-)?)"  # the last: BirdNET-Pi
    r"(?P<clock>\d\d(?P<mark>[-_.:h]?)\d\d(?:(?P=mark)\d\d)?)(?!\d)",
    re.ASCII,
)
FOURTEEN_DIGITS = re.compile(r"(?<!\d)(?P<year>\d{4})(?P<date>\d{4})(?P<clock>\d{6})(?!\d)", re.ASCII)
TWO_DIGIT_YEAR = re.compile(
    r"(?:ZOOM|REC|DR|STE)?[-_]?(?P<year>\d\d)(?P<date>\d{4})[-_](?P<clock>\d{4}(?:\d\d)?)(?:[-_ ].*)?",
    re.IGNORECASE | re.ASCII,
)
SOUNDTRAP = re.compile(r"\d+\.(?P<year>\d\d)(?P<date>\d{4})(?P<clock>\d{6})", re.ASCII)  # serial number and time
HEXADECIMAL = re.compile(r"[56][0-9A-F]{7}", re.ASCII)  # seconds since 1970: AudioMoth before firmware 1.2
FIRST_AUDIOMOTH, LAST_HEXADECIMAL = datetime(2017, 1, 1), datetime(2027, 1, 1)
FOLDER_DATE = re.compile(rf"{DATE}(?!\d)", re.ASCII)
TIME_ALONE = re.compile(
    r"(?:[^\W\d][^\W_]*[-_ ])?(?P<clock>\d\d(?P<mark>[-_.:h]?)\d\d(?P=mark)\d\d)", re.ASCII
)  # 053000, REC_05-30-00
BIRDNET_SEGMENT = re.compile(r"_(\d+(?:\.\d+)?)s_\d+(?:\.\d+)?s$", re.ASCII)  # cut from a recording: start and end


def start_time(name: str) -> datetime | None:
    """Return the date and time in the name of a recording, without a time zone; None if it holds none.

    A segment that BirdNET-Analyzer cut out (``0.91_1_20240501_053000_9.0s_12.0s.wav``) began later than its recording.

    Args:
        name: the path; only of a file that is named by the time of day alone, the folders are read too.

    Example:
        >>> start_time("night/SITE_20240501_053000.wav")
        datetime.datetime(2024, 5, 1, 5, 30)
    """
    path = PurePath(name)
    found = find_time(path)
    segment = BIRDNET_SEGMENT.search(path.stem)
    if found is None or segment is None:
        return found and found[0]
    return found[0] + timedelta(seconds=float(segment[1]))


def find_time(path: PurePath) -> tuple[datetime, int] | None:
    """Return the date and time in a name, and at which character of the stem it begins."""
    stem = path.stem
    for pattern in (FOUR_DIGIT_YEAR, FOURTEEN_DIGITS):
        for match in pattern.finditer(stem):
            if (time := _time(match["year"], match["date"] + match["clock"])) is not None:
                return time, match.start()
    short = TWO_DIGIT_YEAR.fullmatch(stem) or SOUNDTRAP.fullmatch(stem)
    if short is not None:
        time = _time(f"20{short['year']}", short["date"] + short["clock"])
        return None if time is None else (time, short.start("year"))
    if (time := _hexadecimal(path)) is not None:
        return time, 0
    return _with_folder(path)


def _hexadecimal(path: PurePath) -> datetime | None:
    """The time of a file of the first AudioMoths, which end in capitals; eight decimal digits may mean anything else."""
    stem = path.stem
    if (
        not HEXADECIMAL.fullmatch(stem)
        or (stem.isdigit() and path.suffix == ".wav")
        or path.suffix not in (".WAV", ".wav")
    ):
        return None
    time = datetime.fromtimestamp(int(stem, 16), UTC).replace(tzinfo=None)
    return time if FIRST_AUDIOMOTH <= time < LAST_HEXADECIMAL else None


def _with_folder(path: PurePath) -> tuple[datetime, int] | None:
    """The time in the name and the date in the nearest folder that has one."""
    clock = TIME_ALONE.fullmatch(path.stem)
    if clock is None:
        return None
    for folder in path.parts[-2::-1]:
        date = FOLDER_DATE.search(folder)
        if date is not None:
            time = _time(date["year"], date["date"] + clock["clock"])
            return None if time is None else (time, clock.start("clock"))
    return None


def _time(year: str, rest: str) -> datetime | None:
    """The time of a year of four digits, and month, day, hour, minute and perhaps second with anything in between."""
    digits = "".join(filter(str.isdigit, rest))
    try:
        fields = [int(digits[i : i + 2]) for i in range(0, len(digits), 2)]
        return datetime(int(year), *fields) if int(year) in YEARS else None  # type: ignore[arg-type]
    except ValueError:
        return None
