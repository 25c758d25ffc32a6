"""Which spans of an index are meant: by time, recorder, place and path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from auricle.core.errors import AuricleError

DAY = 86400  # seconds
CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")
SPAN_TIME = "(began + start)"  # seconds since 1970 by the recorder's clock; NULL where the beginning is unknown


@dataclass(frozen=True)
class SpanFilter:
    """Conditions on spans; all that are set must hold.

    Attributes:
        after, before: the span begins at or after, and before, this date and time, or this time of day. Two times of day
            may go over midnight: after 22:00 and before 04:00. Spans of recordings whose beginning is unknown have no time and
            are left out.
        recorders, places: names; one of them holds. Capital letters do not matter; * and ? are wildcards.
        paths: patterns (* and ?) of the path, or of its end from a folder on: ``pond/*.wav``; one of them holds.
    """

    after: datetime | time | None = None
    before: datetime | time | None = None
    recorders: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return True if there is a condition."""
        return self != SpanFilter()

    def sql(self) -> tuple[str, list[object]]:
        """Return a condition for WHERE and its parameters.

        The columns are those of ``visible_spans`` (``schema.py``). Without a condition: "1".
        """
        conditions, values = self._times()
        for column, names in (("recorder", self.recorders), ("place", self.places)):
            if names:
                conditions.append(_any(f"lower({column}) GLOB ?", len(names)))
                values += [_glob(name.lower()) for name in names]
        if self.paths:
            conditions.append(_any("path GLOB ? OR path GLOB ?", len(self.paths)))
            for pattern in self.paths:
                plain = _glob(pattern.replace("\\", "/").removeprefix("./"))
                values += [plain, f"*/{plain.lstrip('/')}"]
        return " AND ".join(conditions) or "1", values

    def _times(self) -> tuple[list[str], list[object]]:
        after, before = self.after, self.before
        if isinstance(after, time) and isinstance(before, time):
            first, last = _seconds(after), _seconds(before)
            within = f"(({SPAN_TIME} - ?) % {DAY} + {DAY}) % {DAY} < ?"
            return [within], [first, (last - first) % DAY or DAY]
        conditions: list[str] = []
        values: list[object] = []
        for bound, sign in ((after, ">="), (before, "<")):
            if bound is not None:
                clock = f"{SPAN_TIME} % {DAY}" if isinstance(bound, time) else SPAN_TIME
                conditions.append(f"{clock} {sign} ?")
                values.append(_seconds(bound))
        return conditions, values


def _any(condition: str, count: int) -> str:
    return f"({' OR '.join([condition] * count)})"


def _glob(pattern: str) -> str:
    """A pattern of * and ? as SQLite's GLOB reads it: brackets in names mean themselves."""
    return pattern.replace("[", "[[]")


def _seconds(moment: datetime | time) -> float:
    """Seconds since 1970, or since midnight, without a time zone."""
    if isinstance(moment, time):
        return moment.hour * 3600 + moment.minute * 60 + moment.second
    return (moment - datetime(1970, 1, 1)) / timedelta(seconds=1)


def read_moment(text: str, flag: str) -> datetime | time:
    """Convert "2024-06-01", "2024-06-01T05:30" or "05:30" to a date and time, or a time of day.

    Args:
        text: what the user typed.
        flag: the option, for the message.

    Raises:
        AuricleError: for other text.
    """
    plain = text.strip()
    try:
        if CLOCK.fullmatch(plain):
            return time.fromisoformat(plain.zfill(plain.count(":") * 3 + 2))
        moment = datetime.fromisoformat(plain)
    except ValueError:
        raise AuricleError(
            f"{flag} '{text}' is no time: expected a date (2024-06-01), a date and time (2024-06-01T05:30), or a time of day "
            "(05:30)"
        ) from None
    return moment.replace(tzinfo=None)
