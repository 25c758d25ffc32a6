"""``auricle prepare teacher``: store what a teacher gives for every clip, for ``auricle distill --teacher STORE``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.executors.config import CorpusSettings
from auricle.core.options import argument, option
from auricle.inference.config import OLD_PRECISIONS, PRECISIONS, EmbedSettings

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.inference.embedder import Embedder


@dataclass(frozen=True)
class TeacherOutputsConfig:
    """Which clips, which teacher, and what is stored."""

    source: str = argument("folder of audio, manifest or one file")
    out: str = option(help="folder of the store; an unfinished one is continued")
    model: str = option("", "teacher: a published name, a weight file or a run folder")
    weights: str | None = option(None, "local weight file of a published name", special={"none": None})
    ensemble: tuple[str, ...] = option((), "several teachers instead of --model; their logits are averaged")
    frames: bool = option(False, "store the features over time too (distill --features frames)")
    seconds: float | None = option(
        None,
        "cut every clip to this many seconds, zero-padding shorter ones at the end, or none: the whole clip",
        special={"none": None},
    )
    float16: bool = option(False, "store in half precision: half the size, three digits")
    precision: str = option(
        "float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS, old=OLD_PRECISIONS
    )
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(16, "most clips encoded together", advanced=True)
    workers: int = option(2, "threads that decode audio; does not change the results", advanced=True)
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        _ = self.settings  # checks them
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("name the teacher: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")

    @property
    def settings(self) -> EmbedSettings:
        """How clips are read and encoded."""
        return EmbedSettings(
            seconds=self.seconds,
            precision=self.precision,
            device=self.device,
            batch_size=self.batch_size,
            workers=self.workers,
        )


@dataclass(frozen=True)
class TeacherOutputsResult:
    """Clips whose outputs were stored now (``done``) or before (``skipped``), clips that failed and why, seconds of work.

    ``outputs``: names of what is stored of each clip with their lengths; ``notes``: what is unusual about files and store.
    """

    out: Path
    done: int
    skipped: int
    failed: tuple[ConversionFailure, ...]
    seconds: float
    outputs: dict[str, int]
    notes: tuple[str, ...] = ()


def prepare_teacher(
    config: TeacherOutputsConfig, *, on_read: Callable[[Manifest], None] | None = None
) -> TeacherOutputsResult:
    """Store the logits, the clip embedding and with ``frames`` the features over time of every clip, by its id.

    A store of the same teacher and settings is continued: clips that it holds are not computed again, unless their file
    changed. With a share (``corpus.shard``) the outputs of its clips go to a store of their own, which the same call without it
    takes.

    Raises:
        AuricleError: for a wrong source or teacher, a store of another teacher or other settings, and if no clip can be read.
    """
    from auricle.data.manifest.formats import read_manifest
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.data.stores.shards import CLIP, LOGITS
    from auricle.embeddings.corpus_store import CorpusEmbedding, fill_store
    from auricle.inference.corpus.embed_worker import make_embed_worker
    from auricle.inference.embedder import Embedder

    started = time.monotonic()
    manifest = read_manifest(config.source, label_notes=False)
    if on_read is not None:
        on_read(manifest)
    level = "frames" if config.frames else "clip"
    model, weights = _teacher(config)
    embedder = Embedder(model, weights=weights, settings=config.settings, level=level)
    names = (*([LOGITS] if embedder.encoder.num_classes() else []), CLIP)
    make = partial(make_embed_worker, partial(_teacher, config), config.settings, level, names)
    embedding = CorpusEmbedding(embedder, config.corpus, make, names, config.quiet)
    dtype = "float16" if config.float16 else "float32"
    filled = fill_store(Path(config.out), description(config, embedder), manifest, embedding, dtype=dtype)
    failed = filled.failed
    if failed and not filled.clips and config.corpus.share is None:
        raise AuricleError(f"none of the {len(manifest)} clips could be read; the first: {next(iter(failed.values()))}")
    failures = tuple(ConversionFailure(id, manifest[id].path or "", message) for id, message in failed.items())
    done, seconds = filled.clips - filled.kept, time.monotonic() - started
    return TeacherOutputsResult(filled.folder, done, filled.kept, failures, seconds, filled.widths, filled.notes)


def _teacher(config: TeacherOutputsConfig) -> tuple[Any, str | None]:
    """Return model and weights as ``Embedder`` takes them."""
    return config.model or config.ensemble, config.weights


def description(config: TeacherOutputsConfig, embedder: Embedder) -> dict[str, Any]:
    """Return what determines the outputs, and the classes of the logits, as JSON values."""
    from auricle.embeddings.cache import describe_encoding

    space = embedder.info.label_space
    return describe_encoding(embedder.encoder, config.settings) | {
        "teacher": embedder.info.name,
        "frames": config.frames,
        "label_space": None if space is None else space.as_json(),
    }
