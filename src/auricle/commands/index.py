"""``auricle index``: recordings made searchable, and what is in an index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import names_of, with_values
from auricle.index.build import IndexReport, index_recordings
from auricle.index.config import IndexConfig
from auricle.index.status import IndexStatus

if TYPE_CHECKING:
    from auricle.models.base import Encoder


def build_index(
    source: str | Path | Sequence[str | Path],
    model: str | Path | Encoder | None = None,
    *,
    out: str | Path,
    weights: str | Path | None = None,
    window: float | None = None,
    hop: float | None = None,
    dtype: str | None = None,
    quiet: bool = True,
    **settings: Any,
) -> IndexReport:
    """Put recordings into an index: their windows with vectors, scores and events. An index that exists is brought up to date.

    Args:
        source: a file, a folder, or a list of them.
        model: an Encoder, a run folder, a weight file or a published name; None: the one that the index was made with.
        out: folder of the index.
        weights: a local file of a published name.
        window, hop: seconds; None: as the index has it; in a new one 5 s, every half a window.
        dtype: of the vectors: "float32" (None, in a new index), "float16" or "int8".
        quiet: no progress bar.
        settings: options of ``auricle index --help all`` by name, such as ``recorders="places.csv"`` or ``keep_deleted=True``.

    Returns:
        IndexReport: counts of new, changed, moved, deleted and unchanged recordings; ``failed``: broken files. The same call
        continues a run that was stopped.

    Raises:
        AuricleError: for an unknown setting or model, an index of another model or other windows, a source without audio,
            and a full disk.

    Example:
        report = auricle.build_index("night.flac", "mn04_as", out="INDEX")
        index = auricle.SoundIndex.open("INDEX")
        print(report.new, len(index))
    """
    from auricle.models.base import Encoder

    named = os.fspath(model) if isinstance(model, (str, os.PathLike)) else ""
    sources = (source,) if isinstance(source, (str, os.PathLike)) else tuple(source)
    config = IndexConfig(
        tuple(map(str, sources)),
        out=str(out),
        model=named,
        weights=None if weights is None else str(weights),
        window=window,
        hop=hop,
        dtype=dtype,
    )
    for name in settings.keys() - (names_of(config) - {"status"}):
        raise AuricleError(f"there is no setting '{name}'{nearest(name, tuple(sorted(names_of(config))))}")
    config = with_values(config, settings)
    return index_recordings(config, model if isinstance(model, Encoder) else None, quiet=quiet)


def read_status(config: IndexConfig) -> list[IndexStatus]:
    """Return what is in the indexes that ``config.source`` names. Raises AuricleError for a folder that is no index."""
    return [IndexStatus.of(folder) for folder in config.source]
