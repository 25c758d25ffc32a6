"""EfficientAT's HEAR embeddings: every published wrapper, by name ([efficientat 10](docs/specification/efficientat.md#s10)).

``hear = wrapper("mn10_all_b_mel_avgs")`` has HEAR's three functions ``load_model``, ``get_scene_embeddings`` and
``get_timestamp_embeddings``. HEAR's own tools import a wrapper as a module: ``auricle.compat.hear.mn10_all_b_mel_avgs``.
An embedding concatenates features of the network in a fixed order:
``mel_avgs`` (time mean of the log-mel), ``clf1`` (features), ``clf2`` (hidden layer of the head after its activation),
``logits``, ``se5`` … (first layer of a block's channel gate, before its activation), ``b0`` … ``b15`` (pooled maps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError, nearest
from auricle.frontends.base import front_end
from auricle.frontends.framing import reflect
from auricle.models.base import Encoder
from auricle.models.efficientat.config import round8, stem_size
from auricle.models.efficientat.mn import MN
from auricle.models.inputs import check_wave

HOP_MS, SCENE_SECONDS, SCENE_HOP_MS = 50, 10, 2500
SEGMENTS_SECONDS = 160  # audio encoded at once
BLOCKS = ("b5", "b11", "b13", "b15")
GATES = ("se5", "se11", "se13", "se15")
ORDER = ("mel_avgs", "clf1", "clf2", "logits", *GATES, *(f"b{i}" for i in range(16)))

POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg_ch_pool": lambda x: x.mean((2, 3)),
    "max_ch_pool": lambda x: x.amax((2, 3)),
    "add_avg_max_ch_pool": lambda x: x.mean((2, 3)) + x.amax((2, 3)),
    "cat_avg_max_ch_pool": lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1),
    "avg_time_pool": lambda x: x.mean(3).flatten(1),
    "avg_max_time_pool": lambda x: (x.mean(3) + x.amax(3)).flatten(1),
}


@dataclass(frozen=True)
class Wrapper:
    """A published embedding.

    Attributes:
        name: name of the wrapper.
        model: published name of the network.
        features: features that are concatenated; see ``ORDER``.
        pooling: how feature maps are pooled; see ``POOLINGS``.
        window_ms: window of the timestamp embeddings, milliseconds.
    """

    name: str
    model: str
    features: tuple[str, ...]
    pooling: str = "avg_ch_pool"
    window_ms: int = 160

    def load_model(self, model_file_path: str | Encoder = "") -> Hear:
        """Load the model of the embedding.

        Args:
            model_file_path: a weight file or an encoder; "": the published weights.
        """
        if isinstance(model_file_path, Encoder):
            return Hear(model_file_path, self)
        from auricle.hub.load import load

        return Hear(load(self.model, weights=model_file_path or None), self)

    @staticmethod
    def get_scene_embeddings(audio: Tensor | np.ndarray, model: Hear) -> Tensor:
        """Compute one embedding per clip: waveforms (B, S) at the model's rate -> (B, D)."""
        return model.scene(audio)

    @staticmethod
    def get_timestamp_embeddings(audio: Tensor | np.ndarray, model: Hear) -> tuple[Tensor, Tensor]:
        """Compute embeddings over time: waveforms (B, S) at the model's rate -> (B, n, D), times (B, n) in milliseconds."""
        return model.timestamps(audio)


class Hear(nn.Module):
    """A loaded wrapper, with the attributes that HEAR requires of a model."""

    def __init__(self, encoder: Encoder, wrapper: Wrapper):
        super().__init__()
        if encoder.info.family != "mn":
            raise AuricleError(f"HEAR embeddings exist for MN networks only, not for the family {encoder.info.family}")
        self.encoder, self.wrapper = encoder, wrapper
        self.features = tuple(sorted(wrapper.features, key=ORDER.index))
        self.taps = tuple("mel" if feature == "mel_avgs" else feature for feature in self.features)
        self.sample_rate = encoder.info.sample_rate
        self.scene_embedding_size = self.timestamp_embedding_size = size(wrapper, cast(MN, encoder))
        self.eval()

    @torch.no_grad()
    def embed(self, audio: Tensor | np.ndarray) -> Tensor:
        """Encode waveforms in one forward pass: (B, S) -> (B, D)."""
        audio = self.waves(audio)
        taps = self.encoder(audio, taps=self.taps).taps
        pool = POOLINGS[self.wrapper.pooling]
        parts = []
        for name in self.taps:
            value = taps[name]
            parts.append(value.mean(2) if name == "mel" else pool(value) if value.ndim == 4 else value)
        return torch.cat(parts, dim=1)

    def waves(self, audio: Tensor | np.ndarray) -> Tensor:
        """Return waveforms (B, S), tensor or array, as a tensor on the model's device.

        Raises:
            AuricleError: if ``audio`` is not a waveform (B, S), is empty or contains NaN.
        """
        wave: Any = audio
        if isinstance(audio, np.ndarray) and audio.dtype.kind in "fiu":
            wave = torch.from_numpy(audio.astype(np.float32) if audio.dtype.kind == "f" else audio)
        wave, _ = check_wave(wave)
        return wave.to(self.encoder.norm_stats.device)

    def scene(self, audio: Tensor | np.ndarray) -> Tensor:
        """Compute one embedding per clip: (B, S) -> (B, D).

        Clips of up to 10 s are encoded in one forward pass. Longer clips are padded by reflection (5 s at both ends); the
        result is the mean over windows of 10 s every 2.5 s.

        Raises:
            AuricleError: as ``waves``.
        """
        audio = self.waves(audio)
        if audio.shape[1] <= SCENE_SECONDS * self.sample_rate:
            return self.embed(audio)
        return self.windows(audio, SCENE_SECONDS * 1000, SCENE_HOP_MS)[0].mean(1)

    def timestamps(self, audio: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
        """Compute the embedding of a window centred at every 50 ms: (B, S) -> (B, n, D), times (B, n) in milliseconds.

        Raises:
            AuricleError: as ``waves``.
        """
        return self.windows(self.waves(audio), self.wrapper.window_ms, HOP_MS)

    def windows(self, audio: Tensor, window_ms: int, hop_ms: int) -> tuple[Tensor, Tensor]:
        """Encode windows of a waveform that is padded by reflection (half a window at both ends).

        A clip that is too short for this is zero-padded first; the number of windows does not change.

        Returns:
            Embeddings (B, n, D) and times (B, n) in milliseconds.
        """
        window, hop = window_ms * self.sample_rate // 1000, hop_ms * self.sample_rate // 1000
        half, length = window // 2, audio.shape[1]
        audio = torch.nn.functional.pad(audio, (0, max(0, half + 1 - audio.shape[1])))
        segments = reflect(audio, None, half).unfold(1, window, hop)[
            :, : (length + 2 * half - window) // hop + 1
        ]  # (B, n, W)
        count = segments.shape[1]
        flat = segments.flatten(0, 1)
        at_once = max(1, SEGMENTS_SECONDS * self.sample_rate // window)
        embedded = torch.cat([self.embed(part) for part in flat.split(at_once)])
        times = torch.arange(count) * (hop * 1000 / self.sample_rate)
        return embedded.unflatten(0, (len(audio), count)), times.repeat(len(audio), 1)


def size(wrapper: Wrapper, encoder: MN) -> int:
    """Return the size D of an embedding."""
    config, n_mels = encoder.config, front_end(encoder.info.front_end).n_mels
    channels, rows = [round8(16 * config.width)], [stem_size(n_mels)]
    for shape in config.shapes:
        channels.append(shape.outputs)
        rows.append(shape.size(rows[-1]))
    sizes = {"mel_avgs": n_mels, "clf1": 6 * channels[-1], "clf2": config.last_width, "logits": config.num_classes}

    def feature_size(feature: str) -> int:
        if feature in sizes:
            return sizes[feature]
        block = int(feature.lstrip("seb"))
        if feature.startswith("se"):
            return round8(config.shapes[block - 1].expanded // config.se_ratio)
        if wrapper.pooling.endswith("time_pool"):
            return channels[block] * rows[block]
        return channels[block] * (2 if wrapper.pooling == "cat_avg_max_ch_pool" else 1)

    return sum(feature_size(feature) for feature in wrapper.features)


def _mn10(name: str, *features: str) -> Wrapper:
    return Wrapper(f"mn10_{name}", "mn10_as", features)


def _published() -> Iterable[Wrapper]:
    """Yield every row of the table in [efficientat 10](docs/specification/efficientat.md#s10)."""
    lmel = (*BLOCKS, "mel_avgs")
    for width in ("01", "02", "04", "05", "10", "20", "30", "40"):
        yield Wrapper(f"mn{width}_all_b_mel_avgs", f"mn{width}_as", lmel)
    for pooling, widths in (("avg_time_pool", "01 05 10 30"), ("avg_max_time_pool", "01 05 10")):
        for width in widths.split():
            yield Wrapper(f"mn{width}_all_b_{pooling}", f"mn{width}_as", BLOCKS, pooling)
    yield _mn10("all_b", *BLOCKS)
    for pooling in ("max_ch_pool", "add_avg_max_ch_pool"):
        yield Wrapper(f"mn10_all_b_{pooling}", "mn10_as", BLOCKS, pooling)
    for pooling in ("max_ch_pool", "add_avg_max_ch_pool", "cat_avg_max_ch_pool", "avg_time_pool"):
        yield Wrapper(f"mn10_all_b_mel_avgs_{pooling}", "mn10_as", lmel, pooling)
    for hop in (5, 15, 20, 25):
        yield Wrapper(f"mn10_all_b_mel_avgs_hop{hop}", f"mn10_as_hop_{hop}", lmel)
    for mels in (40, 64, 256):
        yield Wrapper(f"mn10_all_b_mel_avgs_mels{mels}", f"mn10_as_mels_{mels}", lmel)
    yield Wrapper("mn10_all_b_mel_avgs_fc", "mn10_as_fc", lmel)
    for name, window in (("ts320", 1280), ("ts640", 640), ("ts1280", 1280)):  # ts320 was published with 1280 ms
        yield Wrapper(f"mn10_all_b_mel_avgs_{name}", "mn10_as", lmel, window_ms=window)
    yield _mn10("all_b_all_se", *BLOCKS, *GATES)
    yield _mn10("all_se", *GATES)
    for feature in ("clf1", "clf2", "logits", "mel_avgs"):
        yield _mn10(feature, feature)
        yield _mn10(f"all_se_{feature}", *GATES, feature)
        if feature != "mel_avgs":
            yield _mn10(f"all_b_{feature}", *BLOCKS, feature)
    for kind, maps in (("b", BLOCKS), ("se", GATES)):
        for feature in ("clf1", "clf2"):
            yield _mn10(f"allmode_all_{kind}_{feature}", "mel_avgs", feature, *maps, "logits")
    yield from (_mn10(f"b{i}", f"b{i}") for i in range(1, 16))
    for blocks in ("0_1_2_3", "4_5_6_7", "8_9_10_11", "12_13_14_15", "5_11_13", "5_11_15", "5_13_15", "11_13_15"):
        yield _mn10(f"b{blocks}", *(f"b{i}" for i in blocks.split("_")))
    yield Wrapper("mn40_all_se_mel_avgs", "mn40_as", (*GATES, "mel_avgs"))
    for feature in ("clf1", "clf2"):
        yield Wrapper(f"mn40_{feature}", "mn40_as", (feature,))


WRAPPERS = {wrapper.name: wrapper for wrapper in _published()}


def wrapper(name: str) -> Wrapper:
    """Return a published wrapper. Raise AuricleError, with similar names, for an unknown one."""
    if name not in WRAPPERS:
        raise AuricleError(f"unknown HEAR wrapper '{name}'{nearest(name, tuple(WRAPPERS))}")
    return WRAPPERS[name]
