"""``auricle.load``: load the encoder of a published name, a weight file, a run folder or a repository of the Hugging Face Hub."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Literal

from auricle.core.errors import AuricleError
from auricle.hub import weight_cache
from auricle.hub.huggingface.name import HubSettings, RepositoryName, is_repository
from auricle.hub.huggingface.snapshot import obtain, weights_among
from auricle.hub.published import table as records
from auricle.hub.published.m2d import CLAP_NOTE
from auricle.hub.published.read import check_recorded, read_published
from auricle.hub.published.record import PublishedRecord
from auricle.hub.run_folder import weights_in
from auricle.hub.weight_file import is_described, read_encoder
from auricle.models.base import Encoder
from auricle.models.registry import build, untrained


def load(
    name: str | Path,
    *,
    weights: str | Path | None = None,
    record: str | None = None,
    input_size: str | None = None,
    sample_rate: int | None = None,
    offline: bool | None = None,
) -> Encoder:
    """Load an encoder, in evaluation mode.

    Published weights are downloaded once, converted, and stored in the cache folder (``AURICLE_CACHE``). Repositories of the
    Hugging Face Hub are kept in its own cache (``HF_HOME``); of them only safetensors are read, and no extra is needed.

    Args:
        name: a published name (``auricle.list_models()``), a run folder, a weight file (Auricle's or a published one), or
            ``hf://owner/name``, with a revision (``hf://owner/name@v1``) or a file (``hf://owner/name/file.safetensors``).
        weights: a local file of that published name, in place of a download.
        record: the published name of the network in a file whose tensors do not determine all settings (front end,
            strides); the file may have other classes.
        input_size, sample_rate: "80x608" and hertz, for a published M2D file whose folder name does not state them.
        offline: True: no downloads; None: as set by the variables ``AURICLE_OFFLINE`` and ``HF_HUB_OFFLINE``.

    Returns:
        Encoder: ``encoder(waveforms, sample_rate=…)`` encodes a batch (B, S); ``encoder.info`` describes the model.

    Raises:
        AuricleError: if the name is unknown (the message suggests similar names), or there is no such repository.

    Example:
        encoder = auricle.load("mn04_as")
        out = encoder(torch.zeros(1, 5 * 32000), sample_rate=32000)
        print(encoder.info.family, out.clip.shape, out.frames.shape)
    """
    name = name_of(name)
    if weights is not None:
        return _read_file(_existing(weights), records.get(name))
    if is_repository(name):
        path, kind = repository_weights(name, offline=offline), "file"
    else:
        path, kind = locate(name)
    if kind == "folder":
        return read_run(path)
    if kind == "file":
        known = records.get(record) if record else records.of_file(path)
        read = _read_file(path, known, same_classes=record is None, input_size=input_size, sample_rate=sample_rate)
        if is_repository(name) and not is_described(path):  # tensors in a published layout
            read.update_info(name=name, source=name)
        return read
    if name.endswith((".pt", ".pth", ".safetensors")):
        raise AuricleError(f"there is no weight file {path}")
    return load_record(records.get(name), offline=offline)


def name_of(model: str | Path) -> str:
    """Return the name or path of a model as text. Raises AuricleError for anything else, and for an empty one."""
    if isinstance(model, (str, os.PathLike)) and (text := os.fsdecode(model)):
        return text
    found = "an empty text" if isinstance(model, (str, os.PathLike)) else f"a {type(model).__name__}"
    raise AuricleError(f"a model is a published name, a weight file, a run folder or hf://owner/name, not {found}")


def load_untrained(name: str | Path, *, weights: str | Path | None = None, seed: int = 0) -> Encoder:
    """Return the network of a name with random weights; a published name is not downloaded.

    Args:
        name, weights: as of ``load``.
        seed: of the weights.

    Raises:
        AuricleError: if the name is unknown.
    """
    name = name_of(name)
    record = records.find(name) if weights is None else None
    if record is None or record.config is None:
        return untrained(load(name, weights=weights), seed)
    encoder = build(record.architecture, seed=seed)
    encoder.update_info(name=f"untrained {record.name}", source=f"random weights, seed {seed}")
    return encoder.eval()


def repository_weights(name: str, *, offline: bool | None = None) -> Path:
    """Return the weight file of a repository of the Hugging Face Hub, which is downloaded unless it is on this machine.

    Args:
        name: ``hf://owner/name[@revision][/file]``.
        offline: as of ``load``.

    Raises:
        AuricleError: there is no such repository, it holds no weights that are read, or it cannot be had.
    """
    repository = RepositoryName.parse(name)
    settings = HubSettings.from_environment(offline=offline)
    snapshot = obtain(repository, lambda paths: weights_among(paths, repository, repository.file), settings)
    if snapshot.note:
        warnings.warn(snapshot.note, UserWarning, stacklevel=3)
    return snapshot.file(weights_among(snapshot.paths, repository, repository.file)[0])


def load_record(record: PublishedRecord, *, offline: bool | None = None) -> Encoder:
    """Load a published encoder, or one that needs no weights."""
    if record.config is None:
        return build({"family": record.family, "front_end_id": record.front_end}).eval()
    _warn_of_note(record)
    return weight_cache.load(record, offline=offline)


def read_run(folder: Path | str) -> Encoder:
    """Load the encoder of a run folder. Raise AuricleError if it holds none."""
    file = weights_in(folder)
    if not file.is_file():
        raise AuricleError(f"{folder} is not a run folder: it holds no {file.name} (did the run end?)")
    return read_encoder(file)


def _existing(weights: str | Path) -> Path:
    if is_repository(weights):
        return repository_weights(str(weights))
    path, kind = locate(weights)
    if kind != "file":
        raise AuricleError(f"there is no weight file {path}")
    return path


def locate(name: str | Path) -> tuple[Path, Literal["file", "folder", "none"]]:
    """Return the path that a name may be, and what is there; "none" too for names that the file system cannot have."""
    try:
        path = Path(name).expanduser()
        return path, "folder" if path.is_dir() else "file" if path.is_file() else "none"
    except (OSError, ValueError, RuntimeError):  # too long, not to be entered, no home folder
        return Path(name), "none"


def _read_file(path: Path, record: PublishedRecord | None, **options: Any) -> Encoder:
    if path.suffix == ".safetensors" and is_described(path):
        encoder = read_encoder(path)
        if record is not None:
            check_recorded(encoder, path, record, same_classes=options.get("same_classes", True))
        return encoder
    if record is not None:
        _warn_of_note(record)
    return read_published(path, record, **options)


def _warn_of_note(record: PublishedRecord) -> None:
    """Warn that M2D-CLAP's files load without their text part."""
    if record.note == CLAP_NOTE:
        warnings.warn(f"{record.name}: {record.note}", UserWarning, stacklevel=3)
