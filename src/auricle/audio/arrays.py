"""Samples in memory: which objects are waveforms, and how they become arrays (S,) or (channels, S) of float32.

Arrays of NumPy and tensors of PyTorch are waveforms, and so are columns of pandas, arrays of JAX and others that NumPy
can read. None of these libraries is imported here.
"""

from __future__ import annotations

import array
import math
import sys
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from auricle.audio.decode.base import ABSURD
from auricle.core.errors import AudioError, AuricleError, first_line

MOST_CHANNELS = 8  # of a waveform (channels, S); more rows are taken for a batch of clips and refused
NUMBERS = frozenset("fiucb")  # NumPy's kinds: floats, whole numbers, complex numbers, truth values


def is_tensor(value: Any) -> bool:
    """Return True for a PyTorch tensor, without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_waveform(value: Any) -> bool:
    """Return True for an array, tensor or column of numbers; whether they can be samples is decided when they are read."""
    if is_tensor(value):
        return True
    if isinstance(value, memoryview):
        return value.format not in ("B", "b", "c")  # those are the bytes of a file
    if isinstance(value, array.array):
        return True
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return hasattr(value, "__array__") and kind in NUMBERS and getattr(value, "ndim", 0) > 0


def is_table(value: Any) -> bool:
    """Return True for a data frame (pandas, polars) or a table of PyArrow: iterating over one gives columns, not rows."""
    columns = getattr(value, "columns", None)
    return columns is not None and getattr(value, "shape", None) is not None and len(value.shape) == 2


def rated(item: Any) -> tuple[Any, Any] | None:
    """Return (waveform, rate) of a pair in this order or the other (scipy's); None for anything else."""
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        return None
    for samples, rate in (item, item[::-1]):
        scalar = isinstance(rate, Real) or (
            getattr(rate, "ndim", 1) == 0 and (is_tensor(rate) or hasattr(rate, "dtype"))
        )
        if is_waveform(samples) and scalar:
            return samples, rate.detach() if is_tensor(rate) else rate
    return None


def samples_of(waveform: Any, name: str) -> np.ndarray:
    """Return the samples (S,) or (channels, S), float32.

    Args:
        waveform: floats in [-1, 1] of shape (S,), (channels, S) or (S, channels).
        name: of the recording, for messages.

    Raises:
        AuricleError: for another shape or type.
        AudioError: for no samples, and for NaN, infinite and absurd ones (above 2^32).
    """
    samples = _as_array(waveform, name)
    if samples.dtype.kind != "f" or samples.ndim not in (1, 2):
        raise AuricleError(
            f"{name}: expected float samples in [-1, 1] of shape (samples,) or (channels, samples), got {samples.dtype} "
            f"{samples.shape}{_advice(samples)}"
        )
    if samples.size == 0:
        raise AudioError(f"{name}: the waveform is empty (shape {samples.shape}); at least one sample is needed")
    with np.errstate(over="ignore"):
        samples = _channels_first(samples, name).astype(np.float32)
    peak = max(float(samples.max()), -float(samples.min()))  # NaN if one is
    if not math.isfinite(peak):
        raise AudioError(f"{name}: holds NaN or infinite samples; repair it or leave it out")
    if peak > ABSURD:
        raise AudioError(f"{name}: holds a sample of {peak:.3g}, far outside [-1, 1]; repair it or leave it out")
    return samples


def _as_array(waveform: Any, name: str) -> np.ndarray:
    if isinstance(waveform, np.ma.MaskedArray) and (masked := int(np.ma.count_masked(waveform))):
        raise AudioError(
            f"{name}: {masked} of {waveform.size} samples are masked; give what stands for them: samples.filled(0), or "
            "leave the recording out"
        )
    try:
        return _of_tensor(waveform) if is_tensor(waveform) else np.asarray(waveform)
    except (
        Exception
    ) as error:  # rows of different lengths; sparse, quantised and "meta" tensors; whatever has __array__
        reason = first_line(error)[:200]
        raise AuricleError(
            f"{name}: expected samples that NumPy can read, of shape (samples,) or (channels, samples); got "
            f"{kind_of(waveform)} ({reason})"
        ) from None


def _of_tensor(tensor: Any) -> np.ndarray:
    """NumPy has no bfloat16, and reads no tensor whose negation or conjugation PyTorch has put off."""
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _advice(samples: np.ndarray) -> str:
    """How to make float samples of whole numbers, where one scale is usual."""
    kind = samples.dtype.newbyteorder("=")
    if kind in (np.int16, np.int32):
        return f"; divide whole numbers by their largest value: samples / {np.iinfo(kind).max + 1}"
    return "; 8-bit samples of WAV files lie around 128: (samples - 128.0) / 128" if kind == np.uint8 else ""


def _channels_first(samples: np.ndarray, name: str) -> np.ndarray:
    """(S,), (channels, S) or (S, channels) -> (S,) or (channels, S). Raises AuricleError for many rows and columns."""
    if samples.ndim == 1 or len(samples) <= MOST_CHANNELS:
        return samples
    if samples.shape[1] <= MOST_CHANNELS:
        return samples.T
    raise AuricleError(
        f"{name}: a waveform has at most {MOST_CHANNELS} channels, got shape {samples.shape}; give several clips as a list "
        "(list(batch)), and a recording of more channels as their mean (recording.mean(0))"
    )


def kind_of(value: Any) -> str:
    """Return what a value is, in words, with advice where a list holds what it should not."""
    if isinstance(value, (list, tuple)):
        inner = f"a {type(value).__name__} inside a list"
        return f"{inner}; give one flat list: [item for part in parts for item in part]"
    if fields := getattr(getattr(value, "dtype", None), "names", None):
        return f"a row of a structured array; give the samples of a field: audio[{fields[0]!r}]"
    what = f"an object of type {type(value).__name__}"
    if not isinstance(value, (float, np.floating)):
        return what
    if math.isnan(value):
        return f"{what} (NaN, an empty cell); leave such rows out"
    return f"{what}; give samples as one array: np.asarray(samples, np.float32)"


def column_of(table: Any) -> Sequence[Any]:
    """Return the cells of a table with one column. Raises AuricleError for another number of columns."""
    names = list(getattr(table, "column_names", None) or table.columns)
    if len(names) != 1:
        shown = ", ".join(map(str, names[:8])) + (", …" if len(names) > 8 else "")
        raise AuricleError(
            f"got a table with {len(names)} columns ({shown}); give one of them: table['path'], or its rows as clips: "
            "auricle.Manifest.read(table)"
        )
    column: Sequence[Any] = table[names[0]]
    return column
