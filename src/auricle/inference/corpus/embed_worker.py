"""A worker that embeds batches of clips, and the embeddings of a manifest by whatever executor runs such workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from auricle.audio.sources import AudioSource
from auricle.core.devices import tune_allocator
from auricle.core.executors.base import Executor, MakeWorker, Tell, Worker
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.shards import ClipEmbedding
from auricle.inference.config import EmbedSettings
from auricle.inference.embedder import Embedder
from auricle.inference.pipeline import Model, OnPart

Batch = list[AudioSource]


def make_embed_worker(
    open_model: Callable[[], tuple[Model, str | None]],
    settings: EmbedSettings,
    level: str,
    names: Sequence[str] | None,
    tell: Tell,
) -> Worker[Batch, list[ClipEmbedding]]:
    """Return a worker with an embedder of its own.

    Args:
        open_model: returns model and weights, as ``Embedder`` takes them.
        settings, level: as of ``Embedder``.
        names: the vectors to compute, as of ``Embedder.iterate``.
    """
    tune_allocator()
    model, weights = open_model()
    return embed_batches(Embedder(model, weights=weights, settings=settings, level=level), names, tell)


def embed_batches(embedder: Embedder, names: Sequence[str] | None, tell: Tell) -> Worker[Batch, list[ClipEmbedding]]:
    """Return a worker that yields the embeddings of each batch.

    Args:
        tell: called with (recording, seconds of it that are done) for long ones.
    """
    return partial(embedder.iterate_batches, names=names, on_part=lambda source, seconds: tell((source, seconds)))


def embed_manifest(
    manifest: Manifest,
    embedder: Embedder,
    executor: Executor,
    make: MakeWorker[Batch, list[ClipEmbedding]],
    on_part: OnPart | None,
) -> Iterator[ClipEmbedding]:
    """Yield one embedding per clip, in the order of ``Embedder.iterate``, whatever runs the workers.

    Args:
        manifest: the clips.
        embedder: opens the clips and makes the batches, here.
        executor, make: what embeds the batches.
        on_part: called with a long recording and the seconds of it that are done.
    """
    failed, batches = embedder.batches(manifest)
    yield from failed
    for results in executor.run(make, batches, _lost_batch, lambda told: on_part(*told) if on_part else None):
        yield from results


def _lost_batch(batch: Batch, reason: str) -> list[ClipEmbedding]:
    """The failures of clips that could not be worked on."""
    together = "" if len(batch) == 1 else f" with {len(batch)} clips, of which one may be the reason"
    return [ClipEmbedding(source.name, failure=f"{source.name}: {reason}{together}") for source in batch]
