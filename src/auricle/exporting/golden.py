"""The golden clips of a bundle: what a certificate replays, on this machine and on others.

Clips are 16-bit samples, so that their float32 values are exact everywhere. They are chosen to compress well: the long one
repeats a sweep of a quarter of a second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auricle.core.errors import AuricleError, first_line
from auricle.core.io import replacing
from auricle.exporting.description import Description
from auricle.exporting.runtimes import Outputs

FILE = "golden.npz"
FULL_SCALE = 32768.0
LONG_SECONDS = 12.5  # longer than the windows of most graphs of one length
RECORDED_SECONDS = 10.0  # of a recording that is given

Clips = dict[str, np.ndarray]


def golden_clips(sample_rate: int) -> Clips:
    """Return the golden clips by name, (S,) int16."""
    time = np.arange(sample_rate) / sample_rate
    sweep = np.sin(2 * np.pi * (100 + 3000 * time[: sample_rate // 4]) * time[: sample_rate // 4])
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * sample_rate)
    return {
        "silence": np.zeros(sample_rate, np.int16),
        "full scale": np.where(np.sin(2 * np.pi * 440 * time) >= 0, 32767, -32768).astype(np.int16),
        "noise": as_int16(noise),
        "shortest": np.array([16384], np.int16),
        "long": np.resize(as_int16(0.3 * sweep), round(LONG_SECONDS * sample_rate)),
    }


def as_int16(wave: np.ndarray) -> np.ndarray:
    """Round samples in [-1, 1] to 16 bits."""
    return np.clip(np.round(wave * FULL_SCALE), -32768, 32767).astype(np.int16)


def as_float(clip: np.ndarray) -> np.ndarray:
    """Return 16-bit samples as float32 in [-1, 1)."""
    return clip.astype(np.float32) / np.float32(FULL_SCALE)


def write_golden(folder: Path, clips: Clips, outputs: dict[str, Outputs]) -> None:
    """Write clips and what the source gave for them; frames of short clips only."""
    arrays = {f"{name}/wave": wave for name, wave in clips.items()}
    for name, values in outputs.items():
        short = len(clips[name]) <= len(clips["noise"])
        arrays |= {f"{name}/{output}": value for output, value in values.items() if short or output != "frames"}
    with replacing(folder / FILE) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_golden(folder: Path, description: Description) -> tuple[Clips, dict[str, Outputs]]:
    """Read what ``write_golden`` wrote. Raises AuricleError if it cannot be read, or lacks a clip or an output."""
    clips: Clips = {}
    outputs: dict[str, Outputs] = {}
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            for key in arrays.files:
                name, _, output = key.partition("/")
                if output == "wave":
                    clips[name] = arrays[key]
                else:
                    outputs.setdefault(name, {})[output] = arrays[key]
        _check_golden(clips, outputs, description)
    except Exception as error:
        raise AuricleError(f"{folder / FILE} cannot be read: {first_line(error)}; export the model again") from error
    return clips, outputs


def _check_golden(clips: Clips, outputs: dict[str, Outputs], description: Description) -> None:
    """Raise ValueError unless every clip is a wave with finite numbers for every output; long ones may lack frames."""
    if not clips:
        raise ValueError("it holds no clips")
    for name, wave in clips.items():
        if wave.ndim != 1 or wave.dtype != np.int16 or not len(wave):
            raise ValueError(f"the clip '{name}' is no wave of 16-bit samples")
        found = outputs.get(name, {})
        if set(found) | {"frames"} != set(description.outputs) | {"frames"}:
            raise ValueError(
                f"the clip '{name}' has {', '.join(found) or 'no outputs'}, not {', '.join(description.outputs)}"
            )
        for output, values in found.items():
            if values.dtype.kind != "f" or not np.isfinite(values).all():
                raise ValueError(f"{output} of the clip '{name}' holds values that are no numbers")
