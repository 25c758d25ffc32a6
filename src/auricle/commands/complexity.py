"""``auricle complexity``: the cost of networks, counted by the published rules and measured on this machine."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.base import Encoder


@dataclass(frozen=True)
class ComplexityConfig:
    """Which networks, and the length of the clip."""

    model: tuple[str, ...] = option((), "networks: published names, weight files or run folders")
    seconds: float = option(10.0, "length of the clip, seconds")
    frame_hop: float | None = option(
        None,
        "seconds between two frames of MN and DyMN (0.32, 0.16, 0.08, 0.04, 0.02), or auto: as the weights have it",
        special={"auto": None},
    )
    bits: int = option(16, "bits per activation for the memory columns")
    measure: bool = option(True, "measure the time on this machine too")
    rounds: int = option(15, "clips timed; the median is reported")

    def __post_init__(self) -> None:
        if not self.model:
            raise AuricleError("name at least one network, e.g. --model mn10_as; 'auricle models list' shows them")
        if not (0 < self.seconds < float("inf")) or self.bits < 1 or self.rounds < 1:
            raise AuricleError("--seconds, --bits and --rounds must be above 0")


@dataclass(frozen=True)
class Cost:
    """The cost of one clip; None for what no published rule covers or what was not measured.

    Attributes:
        name: the network.
        parameters: number of parameters.
        macs: multiply-accumulates.
        memory_kb: analytical peak of the activations in kB (1000 bytes).
        efficient_memory_kb: the same if blocks are computed in slices.
        receptive_field: mel bins, and as many frames.
        receptive_seconds: the frames in seconds.
        frame_seconds: seconds between two frames that the network gives.
        latency_ms: median time from waveform to logits, batch 1, with ``threads`` threads.
        real_time_factor: latency divided by the length of the clip.
        threads: threads of the measurement.
    """

    name: str
    parameters: int
    macs: int | None = None
    memory_kb: float | None = None
    efficient_memory_kb: float | None = None
    receptive_field: int | None = None
    receptive_seconds: float | None = None
    frame_seconds: float | None = None
    latency_ms: float | None = None
    real_time_factor: float | None = None
    threads: int | None = None


def complexity(config: ComplexityConfig) -> list[Cost]:
    """Compute the cost of each network. Published networks are built without their weights; nothing is downloaded."""
    return [cost_of(in_frames(network(name), config.frame_hop), name, config) for name in config.model]


def in_frames(encoder: Encoder, hop: float | None) -> Encoder:
    """Return the encoder with frames ``hop`` seconds apart; None: as it is."""
    return encoder if hop is None else encoder.with_frame_hop(hop)


def network(name: str) -> Encoder:
    """Build the network of a published name with newly drawn weights; load a file or a run as it is."""
    from auricle.hub.load import load
    from auricle.hub.published import table as records
    from auricle.models.registry import build

    record = records.find(name)
    if record is None or record.config is None:
        return load(name)
    encoder = build(record.architecture)
    encoder.update_info(name=name)
    return encoder.eval()


def cost_of(encoder: Encoder, name: str, config: ComplexityConfig) -> Cost:
    from auricle.models.efficientat.complexity import complexity as counted

    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    values: dict[str, Any] = {"frame_seconds": encoder.info.hop_seconds}
    if _has_rules(encoder):
        counts = counted(encoder, seconds=config.seconds, bits=config.bits)
        values |= {field: getattr(counts, field) for field in counts.__dataclass_fields__ if field != "buffers"}
    if config.measure:
        values |= _measured(encoder, config)
    return Cost(**{"name": name, "parameters": parameters, **values})


def _has_rules(encoder: Encoder) -> bool:
    return encoder.info.family in ("mn", "dymn")


def _measured(encoder: Encoder, config: ComplexityConfig) -> dict[str, Any]:
    import torch

    from auricle.core.randomness import RandomKey

    samples = max(1, round(config.seconds * encoder.info.sample_rate))
    wave = 0.1 * torch.randn(1, samples, generator=RandomKey(0).torch("complexity"))
    fit_batch_norms(encoder, wave)
    ready, times = encoder.for_inference(), []
    with torch.inference_mode():
        for _ in range(config.rounds + 2):  # the first two warm up
            start = time.perf_counter()
            ready(wave)
            times.append(time.perf_counter() - start)
    latency = statistics.median(times[2:])
    measured = {"latency_ms": 1e3 * latency, "real_time_factor": latency / config.seconds}
    return measured | {"threads": torch.get_num_threads()}


def fit_batch_norms(encoder: Encoder, wave: Tensor) -> None:
    """Give new batch norms the statistics of this waveform; otherwise numbers become denormal, and slow."""
    import torch
    from torch import nn

    fresh = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d) and int(m.num_batches_tracked or 0) == 0]
    for norm in fresh:
        norm.train().momentum = None  # the plain average
    with torch.inference_mode():
        if fresh:
            encoder(wave)
    for norm in fresh:
        norm.eval()
