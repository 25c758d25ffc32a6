"""One graph from a waveform to scores: what is exported, and its trace.

The graph is ``FrontEnd.log_mel``, ``Encoder.core_by_head`` and the calibration of each head's label space, for every family.
Whether it takes any length or one length follows from the contract of the encoder (``most_graph_frames``,
``core_takes_mask``) and from what ``torch.export`` can trace.

Shapes: B clips, S samples, C classes, D width, T frames.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from auricle.core.errors import AuricleError, first_line
from auricle.exporting.description import Description, HeadDescription
from auricle.models.base import Encoder

FIXED_SECONDS = 10.0  # of a graph of one length, unless the encoder has chunks
WHOLE_SECONDS = 120.0  # a graph of any length gets at most this much at once, as ``auricle tag`` does
TRACED_SECONDS = 1.5  # of the example that a graph of any length is traced with


class WaveformGraph(nn.Module):
    """wave (B, S) [, samples (B,)] -> scores and logits (B, C) of each head, embedding (B, D), and frames (B, T, D) if asked."""

    def __init__(self, encoder: Encoder, *, frames: bool):
        super().__init__()
        self.encoder, self.frames = encoder, frames
        encoder.front(torch.zeros(1, encoder.info.min_samples))  # makes windows and mel bank: constants of the trace

    def forward(self, wave: Tensor, samples: Tensor | None = None) -> tuple[Tensor, ...]:
        front, info = self.encoder.front, self.encoder.info
        values, mask = front.log_mel(wave, samples), None
        if samples is not None:
            mask = torch.arange(values.shape[2], device=wave.device) < front.num_frames(samples)[:, None]
        out, by_head = self.encoder.core_by_head(values, mask)
        results = []
        for name, space in zip(info.head_names, info.label_spaces):
            if space is not None:
                results += [space.probabilities(by_head[name]), by_head[name]]
        if not self.frames:
            return (*results, out.clip)
        frames = out.frames
        if samples is not None:  # what comes behind a clip's end is left to each encoder; here it is zeros
            own = self.encoder.frame_lengths(front.num_frames(samples))
            past = torch.arange(frames.shape[1], device=wave.device) >= own[:, None]
            frames = frames.masked_fill(past[:, :, None], 0.0)
        return (*results, out.clip, frames)


@dataclass(frozen=True)
class Graph:
    """A traced graph and its description; ``converted`` keeps what it was converted to, so that many forms cost one conversion."""

    program: ExportedProgram
    description: Description
    converted: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


def trace(
    encoder: Encoder,
    *,
    length: float | None,
    any_length: bool,
    batch_size: int | None,
    frames: bool,
    one_shape: bool = False,
) -> Graph:
    """Trace the graph of an encoder.

    Args:
        encoder: in evaluation mode, on the CPU.
        length: seconds of the waveform; None: any length where the encoder and the trace allow it, else one chunk of the
            encoder or ``FIXED_SECONDS``.
        any_length: refuse a graph of one length.
        batch_size: clips of a call; None: any number where the trace allows it, else 1.
        frames: whether the graph gives frames too.
        one_shape: make a graph of one length and one number of clips, where None was given too.

    Raises:
        AuricleError: the encoder cannot be traced, or any length was asked for and is impossible.
    """
    module = WaveformGraph(encoder, frames=frames).eval()
    if one_shape:
        batch_size = batch_size or 1
    if length is None and not one_shape and encoder.most_graph_frames != 0:
        for clips in dict.fromkeys([batch_size, batch_size or 1]):
            program = _any_length(module, clips)
            if program is not None:
                return Graph(program, _description(module, program, None, clips))
    if any_length:
        raise AuricleError(
            f"--length any: the graph of {encoder.info.name} has one length; give it in seconds, such as --length 10"
        )
    samples = _fixed_samples(encoder, length)
    for clips in dict.fromkeys([batch_size, batch_size or 1]):
        program, reason = _fixed(module, samples, clips)
        if program is not None:
            return Graph(program, _description(module, program, samples, clips))
    raise AuricleError(f"{encoder.info.name} cannot be traced: {reason}")


def _fixed_samples(encoder: Encoder, seconds: float | None) -> int:
    info = encoder.info
    usual = max(info.min_samples, encoder.usable_samples(seconds or FIXED_SECONDS))
    if seconds is None and encoder.chunked:
        chunk = encoder.front.samples_for(int(info.chunk_frames or 0))
        return chunk if encoder.most_graph_frames == 0 else min(chunk, usual)
    return usual


def _any_length(module: WaveformGraph, clips: int | None) -> ExportedProgram | None:
    info, free = module.encoder.info, Dim.DYNAMIC
    samples = max(info.min_samples, round(TRACED_SECONDS * info.sample_rate))
    shapes = {0: free, 1: free} if clips is None else {1: free}
    return _traced(module, (example(clips or 2, samples),), (shapes, None))[0]


def _fixed(module: WaveformGraph, samples: int, clips: int | None) -> tuple[ExportedProgram | None, str]:
    shape = {0: Dim.DYNAMIC} if clips is None else {}
    inputs: tuple[Tensor, ...] = (example(clips or 2, samples),)
    if module.encoder.core_takes_mask:
        lengths = torch.linspace(samples, module.encoder.info.min_samples, clips or 2).long()
        return _traced(module, (*inputs, lengths), (shape, shape))
    return _traced(module, inputs, (shape, None))


def example(clips: int, samples: int) -> Tensor:
    """Return noise (clips, samples) to trace with."""
    return 0.1 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(0))


def _traced(
    module: WaveformGraph, inputs: tuple[Tensor, ...], shapes: tuple[Any, ...]
) -> tuple[ExportedProgram | None, str]:
    with quiet_tracing():
        try:
            return torch.export.export(module, inputs, dynamic_shapes=shapes[: len(inputs)]), ""
        except AuricleError:
            raise
        except Exception as error:  # torch.export raises many kinds for what it cannot trace
            return None, first_line(error)


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Trace without gradients; sizes of 1 stay free, and deprecations inside the exporter are not the user's."""
    from torch.fx.experimental import _config

    with warnings.catch_warnings(), torch.no_grad(), _config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        warnings.simplefilter("ignore")
        yield


def _description(
    module: WaveformGraph, program: ExportedProgram, samples: int | None, clips: int | None
) -> Description:
    encoder, info = module.encoder, module.encoder.info
    heads = []
    for name, space in zip(info.head_names, info.label_spaces):
        if space is not None:
            suffix = "" if name == info.head_names[0] else f"_{name}"
            heads.append(HeadDescription(name, f"scores{suffix}", f"logits{suffix}", space.as_json()))
    most = encoder.most_graph_frames
    limit = round(WHOLE_SECONDS * info.sample_rate)
    if most:
        limit = min(limit, encoder.front.samples_for(most))
    return Description(
        model=info.name,
        family=info.family,
        front_end=info.front_end,
        sample_rate=info.sample_rate,
        min_samples=info.min_samples,
        samples=samples,
        window_samples=samples or limit,
        takes_samples=len(program.graph_signature.user_inputs) == 2,
        batch_size=clips,
        frames=module.frames,
        frame_seconds=info.hop_seconds,
        heads=tuple(heads),
        licence=info.licence,
        source=info.source,
        fingerprint=encoder.fingerprint(),
    )
