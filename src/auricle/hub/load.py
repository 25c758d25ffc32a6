"""``auricle.load``: a published name, a weight file or a run folder -> Encoder."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.hub import weight_cache as kept
from auricle.hub.published import table as records
from auricle.hub.published.m2d import CLAP_NOTE
from auricle.hub.published.read import check_recorded, read_published
from auricle.hub.published.record import Record
from auricle.hub.weight_file import read_encoder
from auricle.models.base import Encoder
from auricle.models.registry import build


def load(
    name: str | Path,
    *,
    weights: str | Path | None = None,
    record: str | None = None,
    input_size: str | None = None,
    sample_rate: int | None = None,
    offline: bool | None = None,
) -> Encoder:
    """An encoder in evaluation mode.

    name      a published name (``auricle models list``), a run folder, or a weight file (ours, or a published layout)
    weights   a local file of that published name, in place of a download
    record    the published name of the network in a file, where its tensors do not say all (front end, strides);
              its classes may be others
    input_size, sample_rate  "80x608" and hertz: of a published M2D file whose folder name does not say them
    offline   no downloads (None: what the variable AURICLE_OFFLINE says)

    A published name is downloaded once, converted and kept in the cache folder (AURICLE_CACHE). Raises
    AuricleError when nothing fits, naming the nearest known names.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise AuricleError(f"a model is a published name, a weight file or a run folder, not a {type(name).__name__}")
    if weights is not None:
        return _read_file(_existing(weights), records.get(str(name)))
    path = Path(name).expanduser()
    if path.is_dir():
        return read_run(path)
    if path.is_file():
        known = records.get(record) if record else records.of_file(path)
        return _read_file(path, known, same_classes=record is None, input_size=input_size, sample_rate=sample_rate)
    if str(name).endswith((".pt", ".pth", ".safetensors")):
        raise AuricleError(f"there is no weight file {path}")
    return load_record(records.get(str(name)), offline=offline)


def load_record(record: Record, *, offline: bool | None = None) -> Encoder:
    """A published encoder, or one that needs no weights."""
    if record.config is None:
        return build({"family": record.family, "front_end_id": record.front_end}).eval()
    _say(record)
    return kept.load(record, offline=offline)


def read_run(folder: Path) -> Encoder:
    file = folder / "encoder.safetensors"
    if not file.is_file():
        raise AuricleError(f"{folder} is not a run folder: it holds no encoder.safetensors (did the run end?)")
    return read_encoder(file)


def _existing(weights: str | Path) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise AuricleError(f"there is no weight file {path}")
    return path


def _read_file(path: Path, record: Record | None, **options: Any) -> Encoder:
    if path.suffix == ".safetensors":
        encoder = read_encoder(path)
        if record is not None:
            check_recorded(encoder, path, record, same_classes=options.get("same_classes", True))
        return encoder
    if record is not None:
        _say(record)
    return read_published(path, record, **options)


def _say(record: Record) -> None:
    """What nobody should overlook."""
    if record.note == CLAP_NOTE:
        warnings.warn(f"{record.name}: {record.note}", UserWarning, stacklevel=3)
