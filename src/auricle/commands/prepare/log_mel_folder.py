"""``auricle prepare lms``: a folder of audio to log-mel files with the same relative paths.

Source: [m2d 1.3](docs/specification/m2d.md#s1-3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.executors.config import POOL_PAYS_FILES, FileJob, executor_option, shard_option
from auricle.core.options import argument, check_ranges, option
from auricle.data.stores.npy import HALF
from auricle.models.m2d.config import FRONT_ENDS

if TYPE_CHECKING:
    from auricle.data.stores.conversion import ConversionFailure, ConvertedFile

ANY = "any"
MIN_LENGTH = 6.1  # seconds, so that 608 frames need no padding: [m2d 1.3](docs/specification/m2d.md#s1-3)


@dataclass(frozen=True)
class LmsConfig(FileJob):
    """What to convert, and how."""

    source: str = argument("folder of audio, searched with its subfolders")
    out: str = option(help="folder to write; an unfinished one is continued")
    suffix: str = option(".wav", "suffix of the files to convert, or 'any' for every audio format")
    skip: int = option(0, "leave out the first files of the sorted list")
    min_length: float = option(
        MIN_LENGTH, "zero-pad shorter sound at its end to this many seconds, before the transform"
    )
    sample_rate: int = option(16000, "rate of the log-mel front end in hertz: 16000 or 32000")
    float16: bool = option(False, HALF)
    workers: int | None = option(None, "processes, or auto: one per core", special={"auto": None}, old={0: None})
    executor: str = executor_option(POOL_PAYS_FILES)
    shard: str | None = shard_option("All shares write into one folder")
    strict: bool = option(
        False, "refuse files whose header does not declare the length of what is there (a recorder that stopped)"
    )
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        if self.sample_rate not in FRONT_ENDS:
            known = " or ".join(map(str, FRONT_ENDS))
            raise AuricleError(f"the sample rate must be {known} Hz, not {self.sample_rate}")
        check_ranges(self, ("skip", "min_length", "workers"), 0)
        if not self.suffix.strip("."):
            raise AuricleError("name a suffix such as .wav, or 'any'")
        _ = self.corpus  # checks it


@dataclass(frozen=True)
class LmsResult:
    """Files written now (``done``), files from before (``skipped``), files that failed and why, seconds of work, and what is
    unusual about the files."""

    out: Path
    done: int
    skipped: int
    failed: tuple[ConversionFailure, ...]
    seconds: float
    file_notes: tuple[str, ...] = ()


def prepare_lms(config: LmsConfig, *, on_file: Callable[[str], None] | None = None) -> LmsResult:
    """Write ``OUT/<relative path>.npy``, (1, 80, N) natural log-mel, and ``OUT/prepare.json``.

    Files that exist are kept, whoever wrote them. ``on_file`` is called with the name of every finished file.

    Raises:
        AuricleError: The source has no such files, or the folder was made with other settings.
    """
    from auricle.audio.decode import note_texts
    from auricle.data.stores.conversion import ConversionFailure, list_audio

    started, out = time.monotonic(), Path(config.out)
    names = list_audio(Path(config.source), suffixes_of(config))[config.skip :]
    if share := config.corpus.share:
        names = [name for name in names if share.holds(name)]
    claim_mirror(out, config)
    results = []
    try:
        for result in _convert(names, config):
            results.append(result)
            if on_file is not None:
                on_file(result.id if isinstance(result, ConversionFailure) else result.name)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; finished files are kept: run the same command again to go on") from None
    failed = tuple(result for result in results if isinstance(result, ConversionFailure))
    converted = [result for result in results if not isinstance(result, ConversionFailure)]
    kept, notes = (
        sum(result.kept for result in converted),
        note_texts(note for file in converted for note in file.notes),
    )
    return LmsResult(out, len(converted) - kept, kept, failed, time.monotonic() - started, notes)


def suffixes_of(config: LmsConfig) -> Iterable[str]:
    from auricle.audio.decode import AUDIO_SUFFIXES

    return sorted(AUDIO_SUFFIXES) if config.suffix == ANY else ("." + config.suffix.lstrip("."),)


def claim_mirror(out: Path, config: LmsConfig) -> None:
    """Write prepare.json, or compare it with the settings. A folder that another program filled gets one too."""
    from auricle.data.stores.npy import SETTINGS, check_settings, clear_leftovers, write_card

    dtype = "float16" if config.float16 else "float32"
    settings = {"front_end": FRONT_ENDS[config.sample_rate], "min_seconds": config.min_length, "dtype": dtype}
    if (out / SETTINGS).is_file():
        check_settings(out, settings)
        clear_leftovers(out)
    elif out.exists() and not out.is_dir():
        raise AuricleError(f"{out} is not a folder")
    else:
        write_card(out, settings)


def _convert(names: list[str], config: LmsConfig) -> Iterable[ConvertedFile | ConversionFailure]:
    from auricle.core.console import progress_bar
    from auricle.data.stores.conversion import FolderConverter, LogMelConverter, lost_file

    source = Path(config.source)
    log_mel_of = LogMelConverter(FRONT_ENDS[config.sample_rate], config.min_length, strict=config.strict)
    mirror = FolderConverter(source, Path(config.out), log_mel_of, "float16" if config.float16 else "float32")
    results = config.corpus.map(mirror, names, partial(lost_file, source))
    return progress_bar(results, total=len(names), what="prepare lms", unit="file", quiet=config.quiet or not names)
