"""Any encoder as a model of mteb: what its evaluator calls. Importing this module needs mteb, the extra ``[mteb]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from auricle.core.console import progress_bar
from auricle.core.errors import AuricleError, MissingExtra
from auricle.evaluation.suites.maeb.meta import model_meta
from auricle.evaluation.suites.maeb.rows import RowPlace, collate_rows, embed_rows
from auricle.evaluation.text_side import caption_vectors, sound_vectors
from auricle.inference.config import EmbedSettings, EncodeSettings
from auricle.inference.embedder import Embedder
from auricle.models.base import Encoder

try:
    from datasets import Audio
    from mteb.models.abs_encoder import AbsEncoder
    from torch.utils.data import DataLoader
except ImportError:
    raise MissingExtra("MAEB", "mteb") from None

AUDIO, TEXT = "audio", "text"
BATCHES_AT_ONCE = 8  # of the encoder; they are decoded ahead and sorted by length


class MaebEncoder(AbsEncoder):
    """An encoder that mteb evaluates: ``mteb.evaluate(MaebEncoder(encoder), tasks)``.

    Audio is decoded and resampled here, so that neither torchaudio nor torchcodec is needed. A clip has the same embedding
    alone and in any batch.

    Args:
        encoder: The encoder.
        settings: Layers, pooling, precision, device and batch size of embeddings.
        name: ``owner/name`` on the leaderboard; see ``model_meta``.
        side: Text side of the encoder (``evaluation.text_side``), for tasks with captions; None: it has none.

    Attributes:
        mteb_model_meta: The description that mteb reads.

    Example:
        model = MaebEncoder(auricle.load("mn04_as"))
        mteb.evaluate(model, mteb.get_tasks(["BeijingOpera"]))
    """

    def __init__(self, encoder: Encoder, settings: EncodeSettings | None = None, *, name: str = "", side: Any = None):
        settings = settings or EncodeSettings()
        self.side = side
        self.embedder = Embedder(encoder, settings=EmbedSettings(**vars(settings)))
        self.model = encoder
        width = _width(self.embedder)
        self.mteb_model_meta = model_meta(encoder, width, settings, name=name, with_text=side is not None)

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **options: Any,
    ) -> np.ndarray:
        """Embed the rows of a data set.

        Args:
            inputs: mteb's loader; only its data set and its number of processes are used.
            task_metadata, hf_split, hf_subset: The task, for messages.
            prompt_type: Not used.
            options: ``show_progress_bar``; others are not used.

        Returns:
            (n, D) float32 in the order of the rows.

        Raises:
            AuricleError: A row cannot be read, or holds text and there is no text side.
        """
        subset = "" if hf_subset == "default" else f" {hf_subset}"
        name = f"{task_metadata.name}{subset}, {hf_split}"
        columns = _columns(inputs.dataset)
        if AUDIO in columns and TEXT in columns:
            raise AuricleError(f"{name}: a row holds audio and text; an encoder embeds one of them")
        if AUDIO not in columns and (TEXT not in columns or self.side is None):
            raise AuricleError(
                f"{name} holds {', '.join(columns) or 'no columns'}: {self.mteb_model_meta.name} embeds audio"
                + ("; captions need a text side (--text MODULE:NAME)" if TEXT in columns else "")
            )
        quiet = not options.get("show_progress_bar", True)
        with progress_bar(total=len(inputs.dataset), what="embed", unit="row", quiet=quiet) as bar:
            vectors = []
            for part in self._audio(inputs, name) if AUDIO in columns else self._texts(inputs):
                vectors.append(part.astype(np.float32, copy=False))
                bar.update(len(part))
        if not vectors:
            raise AuricleError(f"{name} has no rows")
        return np.concatenate(vectors)

    def _audio(self, inputs: Any, name: str) -> Iterator[np.ndarray]:
        dataset, rate = undecoded(inputs.dataset)
        rows = self.embedder.settings.batch_size * BATCHES_AT_ONCE
        place, first = RowPlace(name, rate), 0
        for batch in DataLoader(dataset, rows, collate_fn=collate_rows, num_workers=inputs.num_workers):
            vectors = embed_rows(self.embedder, batch[AUDIO], place, first)
            yield vectors if self.side is None else sound_vectors(self.side, vectors)
            first += len(batch[AUDIO])

    def _texts(self, inputs: Any) -> Iterator[np.ndarray]:
        for batch in inputs:
            yield caption_vectors(self.side, list(batch[TEXT]))


def undecoded(dataset: Any) -> tuple[Any, int | None]:
    """Return a data set whose audio column gives the bytes of files, without other columns, and the rate that it declared.

    Data sets without such a column (samples as lists, plain sequences of rows) come back as they are.
    """
    feature = (getattr(dataset, "features", None) or {}).get(AUDIO)
    if feature is None:
        return dataset, None
    dataset = dataset.select_columns([AUDIO])
    if not isinstance(feature, Audio):
        return dataset, None
    return dataset.cast_column(AUDIO, Audio(decode=False)), feature.sampling_rate


def _columns(dataset: Any) -> Sequence[str]:
    names = getattr(dataset, "column_names", None)
    return names if names is not None else list(dataset[0]) if len(dataset) else ()


def _width(embedder: Embedder) -> int:
    """D of the embeddings, which silence tells where blocks are joined or pooled in another way."""
    settings, info = embedder.settings, embedder.info
    if not settings.layers and settings.pooling == "clip":
        return info.clip_dim
    silence = np.zeros(embedder.encoder.usable_samples(1.0), np.float32)
    return int(embedder(silence, sample_rate=info.sample_rate).clip.shape[1])
