"""What mteb's leaderboard shows of a model, filled from what is known of an encoder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from auricle.core.errors import MissingExtra
from auricle.evaluation.evaluation import variant_of
from auricle.hub.huggingface.card import licence_fields
from auricle.hub.huggingface.name import RepositoryName, is_repository
from auricle.hub.published.record import bibtex
from auricle.hub.published.table import find
from auricle.inference.config import EncodeSettings
from auricle.models.base import Encoder

if TYPE_CHECKING:
    from mteb.models import ModelMeta

OWNER = "auricle"  # of models that have no repository of their own
NO_LICENCE = "not specified"
TRAINED_ON = {"audioset": "AudioSet", "audioset-by-id": "AudioSet"}  # class list of a record: mteb's name of the data
MEGABYTE = 1 << 20


def model_meta(
    encoder: Encoder,
    width: int,
    settings: EncodeSettings | None = None,
    *,
    name: str = "",
    with_text: bool = False,
) -> ModelMeta:
    """Describe an encoder for mteb.

    Args:
        encoder: The encoder.
        width: D of its embeddings.
        settings: How clips become vectors; what is not the default names an experiment of the model.
        name: ``owner/name`` on the leaderboard; "": the repository of the Hugging Face Hub that it is from, else
            ``auricle/`` and the encoder's name.
        with_text: Whether it embeds captions too.

    Returns:
        Name, fingerprint as revision, sizes, licence, and what a published record knows. Unknown values are None.
    """
    try:
        from mteb.models import ModelMeta, model_meta
    except ImportError:
        raise MissingExtra("MAEB", "mteb") from None
    info, record = encoder.info, find(encoder.info.name)
    parameters = list(encoder.parameters())
    variant = variant_of(vars(settings)) if settings else ""
    licence = licence_fields(info.licence)["license"]
    known = {text for part in get_args(model_meta.Licenses) for text in (get_args(part) or (part,))}
    published = record is not None and bool(record.urls)
    return ModelMeta(
        loader=None,
        name=name or meta_name(info.name),
        revision=encoder.fingerprint(),
        release_date=None,
        languages=None,
        n_parameters=sum(p.numel() for p in parameters),
        memory_usage_mb=round(sum(p.numel() * p.element_size() for p in parameters) / MEGABYTE, 3),
        max_tokens=None,
        embed_dim=width,
        license=licence if licence in known else NO_LICENCE,
        open_weights=True if published or is_repository(info.name) else None,
        public_training_code=(record.source or None) if record else None,
        public_training_data=None,
        framework=["PyTorch"],
        reference=_reference(info.name, record.source if record else ""),
        similarity_fn_name="cosine",
        use_instructions=False,
        training_datasets={TRAINED_ON[record.class_list]} if record and record.class_list in TRAINED_ON else None,
        citation=(bibtex(record.papers) or None) if record else None,
        modalities=["audio", "text"] if with_text else ["audio"],
        experiment_kwargs={"vectors": variant} if variant else None,
    )


def meta_name(name: str) -> str:
    """Return ``owner/name``: of a repository its own, of anything else ``auricle/`` and the last part of its name."""
    if is_repository(name):
        return RepositoryName.parse(name).id
    last = Path(name).name
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", last.removesuffix(".safetensors").removesuffix(".pt")).strip("-.")
    return f"{OWNER}/{plain or 'encoder'}"


def _reference(name: str, source: str) -> Any:
    if is_repository(name):
        return f"https://huggingface.co/{RepositoryName.parse(name).id}"
    return source if source.startswith("https://") else None
