"""One clip of several rows about the same file: a row per event, or a row per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip import DEFAULTS, FIELDS, Clip
from auricle.data.manifest.clip_table import ClipTable

JOINED = ("labels", "known", "events")  # what rows of one clip may differ in


def merged_rows(table: ClipTable, where: str) -> tuple[ClipTable, tuple[str, ...]]:
    """Return a table with one row per clip, and a note about rows that were joined.

    Rows of one id (by default the file and its span) become one clip with the labels and events of all.

    Raises:
        AuricleError: Rows of one id differ in something else, such as the file or the fold.
    """
    if not table.repeated_ids():
        return table, ()
    rows: dict[str, list[Clip]] = {}
    for clip in table:
        rows.setdefault(clip.id, []).append(clip)
    merged = ClipTable.of(_merged(clips, where) for clips in rows.values())
    joined = [clips for clips in rows.values() if len(clips) > 1]
    events = " and events" if "events" in merged.columns else ""
    note = (
        f"rows of {where} about the same clip are joined, with the labels{events} of all of them "
        f"({sum(map(len, joined)):,} rows, {len(joined):,} clips, the first is '{joined[0][0].id}')"
    )
    return merged, (note,)


def _merged(clips: Sequence[Clip], where: str) -> Clip:
    if len(clips) == 1:
        return clips[0]
    values: dict[str, Any] = {name: _common(name, clips, where) for name in FIELDS if name not in JOINED}
    labels = tuple(dict.fromkeys(label for clip in clips for label in clip.labels))
    known = [clip.known for clip in clips if clip.known is not None]
    events = tuple(dict.fromkeys(event for clip in clips for event in clip.events))
    return Clip(
        **values,
        labels=labels,
        known=tuple(dict.fromkeys(name for names in known for name in names)) if known else None,
        events=events,
    )


def _common(field: str, clips: Sequence[Clip], where: str) -> Any:
    """Return the value of a field in all rows of a clip that set it."""
    values = [getattr(clip, field) for clip in clips]
    distinct = list(dict.fromkeys(value for value in values if value != DEFAULTS[field])) or [DEFAULTS[field]]
    if len(distinct) > 1:
        raise AuricleError(
            f"duplicate ids in the manifest: '{clips[0].id}' ({len(clips)} rows) has several values of '{field}' in {where}: "
            f"{', '.join(map(repr, distinct[:3]))}; rows of one clip may differ in labels and events only: "
            "remove the others, or give the clips an 'id' column of their own"
        )
    return distinct[0]
