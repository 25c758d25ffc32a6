"""What an encoder itself gives and costs, for comparison with its exported graph."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from auricle.exporting.description import Description
from auricle.exporting.golden import as_float, as_int16
from auricle.exporting.runtimes import Outputs, Run, pieces
from auricle.models.base import Encoder

TIMED_SECONDS, TIMED_CALLS = 10.0, 5


def source_outputs(source: Encoder, wave: np.ndarray, description: Description) -> Outputs:
    """Return what the encoder itself gives for the windows of a recording (S,), by the names of the graph's outputs."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in description.outputs}
    spaces = dict(zip(source.info.head_names, source.info.label_spaces))
    with torch.no_grad():
        for piece in pieces(wave, description):
            out = source(torch.from_numpy(piece.wave[None]))
            for head in description.heads:
                space, logits = spaces[head.name], out.head_logits[head.name]
                assert space is not None
                rows[head.scores].append(space.probabilities(logits)[0].numpy())
                rows[head.logits].append(logits[0].numpy())
            rows["embedding"].append(out.clip[0].numpy())
            if description.frames:
                rows["frames"].append(_padded_frames(out.frames[0].numpy(), source, description))
    return {name: np.stack(values) for name, values in rows.items()}


def _padded_frames(frames: np.ndarray, source: Encoder, description: Description) -> np.ndarray:
    """Frames (T, D) with the zeros that a graph of one length gives behind the end of a shorter clip."""
    if description.samples is None:
        return frames
    total = source.frame_lengths(torch.tensor([source.front.num_frames(description.samples)]))
    return np.pad(frames, ((0, max(0, int(total) - len(frames))), (0, 0)))


def timed(source: Encoder, run: Run, description: Description) -> dict[str, float]:
    """Return milliseconds of one clip in the source, in its fastest form, and in the graph: the median of some calls."""
    samples = description.samples or round(TIMED_SECONDS * description.sample_rate)
    wave = as_float(as_int16(np.random.default_rng(1).normal(0, 0.1, samples)))
    inputs = next(iter(pieces(wave, description))).inputs
    ready = source.for_inference()
    with torch.inference_mode():
        source_time = _median_of(lambda: ready(torch.from_numpy(wave[None])))
    return {
        "seconds": samples / description.sample_rate,
        "source": source_time,
        "exported": _median_of(lambda: run(inputs)),
        "threads": torch.get_num_threads(),
    }


def _median_of(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(TIMED_CALLS + 1):  # the first warms up
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[1:]))
