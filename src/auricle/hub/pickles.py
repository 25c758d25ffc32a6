"""Published checkpoints are pickles from strangers: they are read as data, nothing in them is executed."""

from __future__ import annotations

import argparse
import pathlib
import pickle
from pathlib import Path
from typing import Any

from auricle.atomic import replacing
from auricle.errors import AuricleError


def read_pickle(path: Path) -> Any:
    """The contents of a ``.pth``/``.pt`` file: tensors, containers, numbers, paths, argparse namespaces, NumPy scalars.

    Raises AuricleError for anything else, for a truncated file and for one that is no checkpoint.
    """
    import torch

    allowed = [argparse.Namespace, pathlib.PosixPath, *_numpy_scalars()]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise AuricleError(f"there is no weight file {path}") from None
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "global" in str(error):
            raise AuricleError(
                f"{path} holds more than tensors and settings and was refused: {_reason(error)}"
            ) from None
        raise AuricleError(f"{path} is not a readable checkpoint (truncated, or another format)") from None
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise AuricleError(
            f"{path} is not a readable checkpoint (truncated, or another format): {_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "global" in line.lower()]
    said = [] if isinstance(error, KeyError) else str(error).splitlines()  # a KeyError says a key alone
    return (lines or said or [type(error).__name__])[0][:200]


def _numpy_scalars() -> list[Any]:
    import numpy as np

    kinds = [np.dtype(kind) for kind in ("f2", "f4", "f8", "i4", "i8", "bool")]
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    old = (scalar, "numpy.core.multiarray.scalar")  # as NumPy 1 wrote it
    return [scalar, old, np.dtype, *{type(kind) for kind in kinds}]


def write_pickle(content: Any, path: Path) -> None:
    """A checkpoint in the layout others read (``torch.save``): only for ``auricle models convert``."""
    import torch

    with replacing(path) as temporary:
        torch.save(content, temporary)
