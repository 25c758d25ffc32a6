"""Published checkpoints: pickles from strangers, read as data. Nothing in them is executed."""

from __future__ import annotations

import argparse
import pathlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, first_line
from auricle.core.io import replacing

ROOM, RATIO = 64 << 20, 4  # a file may unpack to 64 MiB and 4 times its size: numbers of weights hardly compress


def read_pickle(path: Path | str) -> Any:
    """Read a ``.pth`` or ``.pt`` file: tensors, containers, numbers, paths, argparse namespaces and NumPy scalars.

    Raises:
        AuricleError: for anything else in it, for a truncated file and for one that is no checkpoint.
    """
    import torch

    path = Path(path)
    allowed = [argparse.Namespace, pathlib.PosixPath, *_numpy_scalars()]
    unreadable = f"{path} is not a readable checkpoint (truncated, or another format)"
    try:
        _check_unpacked_size(path)
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except AuricleError:
        raise
    except FileNotFoundError:
        raise AuricleError(f"there is no weight file {path}") from None
    except MemoryError:
        raise AuricleError(f"{path} needs more memory than this machine has") from None
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "global" in str(error):
            raise AuricleError(
                f"{path} holds more than tensors and settings and was refused: {_reason(error)}"
            ) from None
        raise AuricleError(unreadable) from None
    except LookupError:  # its text describes the state of the pickle reader, not the file
        raise AuricleError(unreadable) from None
    except Exception as error:  # the reader may raise anything on a damaged file
        raise AuricleError(f"{unreadable}: {_reason(error)}") from None


def _check_unpacked_size(path: Path) -> None:
    """Raise AuricleError for a zip archive whose files are far larger than itself."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > ROOM + RATIO * path.stat().st_size:
        raise AuricleError(
            f"{path} would unpack to {unpacked:,} bytes from {path.stat().st_size:,}: it was refused; weights do not "
            "compress that much"
        )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "global" in line.lower()]
    return (lines or [first_line(error)])[0][:200]


def _numpy_scalars() -> list[Any]:
    import numpy as np

    kinds = [np.dtype(kind) for kind in ("f2", "f4", "f8", "i4", "i8", "bool")]
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    old = (scalar, "numpy.core.multiarray.scalar")  # as NumPy 1 wrote it
    return [scalar, old, np.dtype, *{type(kind) for kind in kinds}]


def write_pickle(content: Any, path: Path | str) -> None:
    """Write a checkpoint with ``torch.save``, in the layout that other programs read.

    Raises:
        AuricleError: if the disk is full or the folder is not writable.
    """
    import torch

    with replacing(Path(path)) as temporary:
        torch.save(content, temporary)
