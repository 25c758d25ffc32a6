"""A few clips of a run's last batch, saved in the run folder so that the report needs no data set.

``preview.safetensors`` holds normalised spectrograms, masks, errors, reconstructions and sound of some clips of one batch;
its metadata hold their ids and facts of the training data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import replacing
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.data.manifest.manifest import Manifest
from auricle.methods.base import Objective, Preview

FILE = "preview.safetensors"
CLIPS = 6


@dataclass(frozen=True)
class Snapshot:
    """n clips of one batch.

    Attributes:
        ids: Their ids.
        spec: (n, F, T), normalised log-mel.
        mask: (n, F', T') on the patch grid, 1 where hidden.
        error: (n, F', T') of the prediction; NaN where nothing was predicted.
        audio: (n, S) int16 at ``rate`` hertz; a silent row where there is no sound.
        crop_start: (n,) seconds into each recording.
        rate: Sample rate of ``audio`` in hertz.
        hop_seconds: Seconds between frames.
        reconstruction: (n, F, T), or None.
        facts: Of the training data, see ``training_facts``.
    """

    ids: tuple[str, ...]
    spec: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    audio: np.ndarray
    crop_start: np.ndarray
    rate: int
    hop_seconds: float
    reconstruction: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def take_snapshot(
    objective: Objective,
    batch: Batch,
    key: BatchKey,
    *,
    manifest: Manifest | None = None,
    facts: dict[str, Any] | None = None,
    clips: int = CLIPS,
) -> Snapshot | None:
    """Run the objective on the first clips of a batch.

    Args:
        objective: Its ``preview`` returns the mask.
        batch: The clips.
        key: Key of the masks.
        manifest: Where sound is read from when the batch holds spectrograms.
        facts: Of the training data, see ``training_facts``.
        clips: How many clips.

    Returns:
        The snapshot; None for an objective that hides nothing.
    """
    import torch

    batch, key = _first(batch, key, clips)
    training = objective.training
    with torch.no_grad():
        preview = objective.eval().preview(batch, key)
    objective.train(training)
    return None if preview is None else _snapshot(preview, batch, objective, manifest, facts or {})


def training_facts(manifest: Manifest, failed: int = 0) -> dict[str, Any]:
    """Return the numbers of clips, seconds (None if unknown), unreadable clips and classes."""
    seconds = [clip.seconds for clip in manifest]
    known = [s for s in seconds if s is not None]
    labels = [label for clip in manifest for label in clip.labels]
    return {
        "clips": len(manifest),
        "seconds": round(sum(known), 1) if len(known) == len(seconds) else None,
        "failed": failed,
        "classes": len(set(labels)),
    }


def save_snapshot(snapshot: Snapshot, run: Path | str) -> Path:
    """Write the snapshot into a run folder and return the file."""
    from safetensors.numpy import save_file

    arrays = {f.name: getattr(snapshot, f.name) for f in fields(snapshot)}
    tensors = {name: np.ascontiguousarray(a) for name, a in arrays.items() if isinstance(a, np.ndarray)}
    rest = {name: value for name, value in arrays.items() if name not in tensors and value is not None}
    file = Path(run) / FILE
    with replacing(file) as temporary:
        save_file(tensors, temporary, metadata={"preview": json.dumps(rest)})
    return file


def load_snapshot(run: Path | str) -> Snapshot | None:
    """Read the snapshot of a run folder; None where it has none. Raises AuricleError for a damaged file."""
    from safetensors import safe_open

    path = Path(run) / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            metadata = json.loads(file.metadata()["preview"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Snapshot(**{**metadata, "ids": tuple(metadata["ids"])}, **tensors)
    except Exception as error:  # any value of its description may have any type
        raise AuricleError(
            f"{path} is damaged ({content_fault(error)}); remove it and the report leaves the clips out"
        ) from error


def _first(batch: Batch, key: BatchKey, clips: int) -> tuple[Batch, BatchKey]:
    return batch.take(range(min(clips, len(batch)))), replace(key, positions=key.positions[:clips])


def _snapshot(
    preview: Preview, batch: Batch, objective: Objective, manifest: Manifest | None, facts: dict[str, Any]
) -> Snapshot:
    encoder = objective.encoder()
    start = np.zeros(len(batch)) if batch.crop_start is None else batch.crop_start.double().cpu().numpy()
    samples = round(preview.spec.shape[-1] * encoder.front.hop_seconds * batch.rate)
    rebuilt = preview.reconstruction
    return Snapshot(
        ids=batch.ids,
        spec=_array(preview.spec),
        mask=_array(preview.mask),
        error=_array(preview.error),
        audio=_sound(batch, manifest, start, samples),
        crop_start=start,
        rate=batch.rate,
        hop_seconds=encoder.front.hop_seconds,
        reconstruction=None if rebuilt is None else _array(rebuilt),
        facts=facts,
    )


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _sound(batch: Batch, manifest: Manifest | None, start: np.ndarray, samples: int) -> np.ndarray:
    """(n, S) int16: from the batch, else from the recordings; silence where neither has it."""
    rows = np.zeros((len(batch), samples), np.float32)
    for i, row in enumerate(rows):
        wave = _array(batch.audio[i]) if batch.audio is not None else _read(manifest, batch, i, start[i], samples)
        row[: len(wave)] = wave[:samples]
    return (rows.clip(-1, 1) * 32767).round().astype(np.int16)


def _read(manifest: Manifest | None, batch: Batch, i: int, start: float, samples: int) -> np.ndarray:
    from auricle.audio.decode import read

    if manifest is None or batch.ids[i] not in manifest:
        return np.zeros(0, np.float32)
    clip = manifest[batch.ids[i]]
    try:
        return read(manifest.audio(clip), start=start, end=start + samples / batch.rate, rate=batch.rate).wave
    except AuricleError:
        return np.zeros(0, np.float32)
