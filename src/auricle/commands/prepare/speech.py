"""``auricle prepare speech``: log-mel files with the features of a speech model beside them.

Source: [m2d 5.8](docs/specification/m2d.md#s5-8).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.commands.prepare.prepare import PrepareConfig, prepare
from auricle.core.errors import AudioError, AuricleError
from auricle.core.executors.base import LocalExecutor, Tell, Worker, mapping
from auricle.core.executors.config import POOL_PAYS, FileJob, executor_option
from auricle.core.options import argument, option
from auricle.data.stores.npy import HALF

if TYPE_CHECKING:
    import numpy as np

    from auricle.data.manifest.manifest import Clip, Manifest
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.inference.speech_features import SpeechFeatures


@dataclass(frozen=True)
class SpeechConfig(FileJob):
    """What to prepare, and with which features."""

    source: str = argument("folder of speech, manifest or one file")
    out: str = option(help="folder to write; an unfinished one is continued")
    features: str = option("facebook/hubert-base-ls960", "speech model of transformers: its name, or its folder")
    layer: int = option(9, "hidden states to keep: 0 the input embedding, k the output of layer k")
    min_seconds: float = option(7.0, "zero-pad shorter sound to this many seconds, for both")
    float16: bool = option(False, HALF + "; features keep three digits")
    device: str = option("auto", "of the speech model: cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    workers: int | None = option(
        None, "processes, or auto: one per core, 8 at most with the speech model", special={"auto": None}, old={0: None}
    )
    executor: str = executor_option(POOL_PAYS)
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise AuricleError(f"the layer must be 0 (the input embedding) or more, not {self.layer}")
        _ = self.corpus  # checks it


@dataclass(frozen=True)
class SpeechResult:
    """Clips that got features now (``done``) or before (``skipped``), clips that failed and why, seconds of work, and damaged
    files of the folder that were written anew."""

    out: Path
    done: int
    skipped: int
    failed: tuple[ConversionFailure, ...]
    seconds: float
    restored: tuple[str, ...] = ()


def prepare_speech(
    config: SpeechConfig,
    extract: SpeechFeatures | None = None,
    *,
    on_read: Callable[[Manifest], None] | None = None,
) -> SpeechResult:
    """Write what ``prepare`` writes, and ``features/<key>``, (1, T, D), for every clip; ``extract`` replaces the model.

    Raises:
        MissingExtra: transformers is not installed.
        AuricleError: as ``prepare``.
    """
    from auricle.core.console import progress_bar
    from auricle.data.manifest.formats import read_manifest

    started, out, given = time.monotonic(), Path(config.out), extract is not None
    if not Path(config.source).exists():  # before a speech model is downloaded
        raise AuricleError(f"there is no file or folder {config.source}")
    extract = extract or extractor(config)
    prepared = prepare(
        PrepareConfig(
            config.source,
            config.out,
            min_seconds=config.min_seconds,
            float16=config.float16,
            workers=config.workers,
            executor=config.executor,
            quiet=config.quiet,
        ),
        on_read=on_read,
    )
    manifest = read_manifest(out)
    restored = (*prepared.restored, *claim_features(out, config))
    wanted = [_spoken(manifest, clip) for clip in manifest if not has_features(manifest, clip)]
    executor = LocalExecutor() if given else config.corpus.make_executor(len(wanted), extract.device.type)
    here = isinstance(executor, LocalExecutor)
    make = partial(mapping, partial(_extract, config, extract)) if here else partial(_feature_worker, config)
    outcomes = executor.run(make, wanted, _lost_clip, lambda message: None)
    bar = progress_bar(outcomes, total=len(wanted), what="features", quiet=config.quiet or not wanted)
    broken = [failure for failure in bar if failure]
    failed = (*prepared.failed, *broken)
    seconds = time.monotonic() - started
    return SpeechResult(out, len(wanted) - len(broken), len(manifest) - len(wanted), failed, seconds, restored)


def extractor(config: SpeechConfig) -> SpeechFeatures:
    from auricle.core.devices import pick_device
    from auricle.inference.speech_features import SpeechFeatures, load_speech_model

    return SpeechFeatures(load_speech_model(config.features), config.layer, pick_device(config.device))


def claim_features(out: Path, config: SpeechConfig) -> tuple[str, ...]:
    """Write the settings of the features into their folder, or compare them; return a note if they were damaged."""
    from auricle.data.datasets.speech import FEATURES
    from auricle.data.stores.journal import JOURNAL
    from auricle.data.stores.npy import claim_folder

    model = str(Path(config.features).resolve()) if Path(config.features).exists() else config.features
    settings = {"model": model, "layer": config.layer, "min_seconds": config.min_seconds, "dtype": dtype_of(config)}
    return claim_folder(out / FEATURES, settings, out / JOURNAL)


def dtype_of(config: SpeechConfig) -> str:
    return "float16" if config.float16 else "float32"


def has_features(manifest: Manifest, clip: Clip) -> bool:
    """Return True if the features of a clip exist, are whole, and are not older than its spectrogram."""
    from auricle.data.datasets.speech import features_path
    from auricle.data.stores.npy import is_complete

    features, spectrogram = features_path(manifest, clip), manifest.spectrogram(clip)
    return is_complete(features) and features.stat().st_mtime_ns >= spectrogram.stat().st_mtime_ns


@dataclass(frozen=True)
class SpokenClip:
    """A clip that gets features: its recording, from ``start`` to ``end`` in seconds, and the file of the features."""

    id: str
    audio: Path
    start: float
    end: float | None
    features: Path


def _spoken(manifest: Manifest, clip: Clip) -> SpokenClip:
    from auricle.data.datasets.speech import features_path

    return SpokenClip(clip.id, manifest.audio(clip), clip.start or 0.0, clip.end, features_path(manifest, clip))


def _feature_worker(config: SpeechConfig, tell: Tell) -> Worker[SpokenClip, ConversionFailure | None]:
    """Return a worker with a speech model of its own."""
    return mapping(partial(_extract, config, extractor(config)), tell)


def _extract(config: SpeechConfig, extract: SpeechFeatures, clip: SpokenClip) -> ConversionFailure | None:
    """Write the features of a clip; return why it has none."""
    from auricle.core.io import check_unchanged, file_stamp
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.data.stores.npy import write_array

    stamp = file_stamp(clip.audio)
    try:
        values = extract(_padded(clip, config.min_seconds))
        check_unchanged(clip.audio, stamp)
    except AudioError as error:
        return ConversionFailure(clip.id, str(clip.audio), str(error))
    write_array(clip.features, values, dtype_of(config))
    return None


def _lost_clip(clip: SpokenClip, reason: str) -> ConversionFailure | None:
    from auricle.data.stores.conversion import ConversionFailure

    return ConversionFailure(clip.id, str(clip.audio), f"{clip.audio}: {reason}")


def padded_wave(manifest: Manifest, clip: Clip, min_seconds: float) -> np.ndarray:
    """Return the waveform (S,) at 16 kHz, zero-padded at the end to ``min_seconds``."""
    return _padded(_spoken(manifest, clip), min_seconds)


def _padded(clip: SpokenClip, min_seconds: float) -> np.ndarray:
    import numpy as np

    from auricle.audio.decode import read
    from auricle.data.datasets.speech import SAMPLE_RATE

    wave = read(clip.audio, start=clip.start, end=clip.end, rate=SAMPLE_RATE, mono="mean").wave
    return np.pad(wave, (0, max(0, int(min_seconds * SAMPLE_RATE) - len(wave))))
