"""The table of models by name: all published weights, and the encoders that need none."""

from __future__ import annotations

from pathlib import Path

from auricle.core.errors import AuricleError, nearest
from auricle.hub.published import efficientat as records_efficientat
from auricle.hub.published import m2d as records_m2d
from auricle.hub.published import mae_ast as records_mae_ast
from auricle.hub.published.record import PublishedRecord, Table

COMPUTED = (
    PublishedRecord(
        "logmel-stats",
        "logmel-stats",
        "mean and standard deviation of a 128-band log-mel spectrogram at 32 kHz: the baseline of every probe",
        front_end=records_efficientat.front_end(),
        parameters=0,
        licence="Apache-2.0",
        source="computed, no weights",
        use="baseline",
    ),
)
RECORDS: tuple[PublishedRecord, ...] = (*COMPUTED, *records_efficientat.ROWS, *records_m2d.ROWS, *records_mae_ast.ROWS)


def list_models(family: str | None = None) -> Table:
    """Return the table of weights that ``auricle.load`` loads by name.

    Args:
        family: of the architecture, such as "m2d", "mae-ast", "mn" or "dymn"; None: all.

    Returns:
        Table: records (name, family, score, licence, …), printed as a table.

    Raises:
        AuricleError: for an unknown family.

    Example:
        print(auricle.list_models())
        names = [record.name for record in auricle.list_models(family="mn")]
    """
    families = tuple(dict.fromkeys(record.family for record in RECORDS))
    if family is not None and family not in families:
        raise AuricleError(f"unknown family '{family}'{nearest(family, families)}")
    return Table(record for record in RECORDS if family is None or record.family == family)


def find(name: str) -> PublishedRecord | None:
    """Return the record of a name or alias; None without one."""
    return next((record for record in RECORDS if name in (record.name, *record.aliases)), None)


def of_file(path: Path) -> PublishedRecord | None:
    """Return the record of a published file by its name (of M2D by the folder's name); None if no record matches."""
    folder = path.resolve().parent.name

    def fits(record: PublishedRecord) -> bool:
        if record.folder:
            return record.folder == folder and record.file in (path.name, "")
        return record.file == path.name

    return next((record for record in RECORDS if fits(record)), None)


def get(name: str) -> PublishedRecord:
    """Return the record of a name. Raise AuricleError, with the nearest names, for an unknown one."""
    record = find(name)
    if record is None:
        hint = nearest(name, tuple(r.name for r in RECORDS))
        raise AuricleError(
            f"'{name}' is neither a known model nor a file or run folder here{hint} (auricle models list shows all names)"
        )
    return record
