"""When a recording began, from the name that the recorder gave its file.

AudioMoth ``20240501_053000.WAV``, Song Meter ``SITE_20240501_053000.wav``, Swift and BAR ``20240501T053000+1000_REC.flac``,
Zoom and other hand-held recorders ``240501_053000.wav`` or ``240501-0530.wav``, telephones ``Recording 2024-05-01 05.30.00.m4a``.
The time is the recorder's own clock; a time zone in the name is not applied.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePath

YEARS = range(1970, 2100)  # of recordings whose recorder has a clock
FOUR_DIGIT_YEAR = re.compile(
    r"(?<!\d)(\d{4})([-_.]?)(\d\d)\2(\d\d)"  # date
    r"(?:[T_ $-]+|at| at )"
    r"(\d\d)([-_.:h]?)(\d\d)(?:\6(\d\d))?(?!\d)"  # time
)
TWO_DIGIT_YEAR = re.compile(
    r"(?:ZOOM|REC|DR|STE)?[-_]?(\d\d)(\d\d)(\d\d)[-_](\d\d)(\d\d)(\d\d)?(?:[-_ ].*)?", re.IGNORECASE
)


def start_time(name: str) -> datetime | None:
    """Return the date and time in the name of a recording, without a time zone; None if it holds none.

    Example:
        >>> start_time("night/SITE_20240501_053000.wav")
        datetime.datetime(2024, 5, 1, 5, 30)
    """
    stem = PurePath(name).stem
    for match in FOUR_DIGIT_YEAR.finditer(stem):
        year, _, month, day, hour, _, minute, second = match.groups()
        time = _time(int(year), month, day, hour, minute, second)
        if time is not None:
            return time
    short = TWO_DIGIT_YEAR.fullmatch(stem)
    if short is None:
        return None
    year, *rest = short.groups()
    return _time(2000 + int(year), *rest)


def _time(year: int, month: str, day: str, hour: str, minute: str, second: str | None) -> datetime | None:
    try:
        return datetime(year, int(month), int(day), int(hour), int(minute), int(second or 0)) if year in YEARS else None
    except ValueError:
        return None
