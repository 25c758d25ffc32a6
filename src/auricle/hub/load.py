"""``auricle.load``: a published name, a weight file or a run folder -> Encoder."""

from __future__ import annotations

from pathlib import Path

from auricle.errors import AuricleError
from auricle.hub import records
from auricle.hub.files import read_encoder
from auricle.models.contract import Encoder


def load(name: str | Path, *, weights: str | Path | None = None, input_size: str | None = None) -> Encoder:
    """An encoder in evaluation mode.

    name      a published name (``auricle models list``), a run folder, or a weight file (ours, or a published layout)
    weights   a local file for a published name
    input_size  "80x608": for a published M2D file whose folder name does not say it

    Raises AuricleError when nothing fits, naming the nearest known names.
    """
    path = Path(weights or name).expanduser()
    if path.is_dir():
        return read_run(path)
    if path.is_file():
        return read_file(path, record=records.find(str(name)) if weights else None, input_size=input_size)
    if weights is not None:
        raise AuricleError(f"there is no weight file {path}")
    return records.get(str(name)).load()


def read_run(folder: Path) -> Encoder:
    file = folder / "encoder.safetensors"
    if not file.is_file():
        raise AuricleError(f"{folder} is not a run folder: it holds no encoder.safetensors (did the run end?)")
    return read_encoder(file)


def read_file(path: Path, *, record: records.Record | None, input_size: str | None) -> Encoder:
    if path.suffix == ".safetensors":
        return read_encoder(path)
    if record is not None:
        return record.read(path)
    from auricle.hub.convert import m2d

    return m2d.read_published(path, input_size=input_size)
