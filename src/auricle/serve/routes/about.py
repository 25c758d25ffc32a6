"""GET /api/about: what this server offers."""

from __future__ import annotations

from fastapi import APIRouter

from auricle.core.console import printable
from auricle.inference.tag_formats import FORMATS
from auricle.serve.routes.shared import TheService
from auricle.serve.schemas import AboutReply, IndexReply, LimitsReply, ModelReply
from auricle.serve.service import Service
from auricle.serve.sessions import ServedModel
from auricle.version import __version__

router = APIRouter(prefix="/api", tags=["about"])


@router.get("/about", summary="What this server offers")
def about(service: TheService) -> AboutReply:
    config = service.config
    window, hop = service.models.tagging.window_seconds
    return AboutReply(
        version=__version__,
        models=[model_reply(model) for model in service.models.all()],
        index=index_reply(service),
        folders=[printable(root.name) for root in service.library.folders],
        runs=len(service.runs()),
        window=window,
        hop=hop,
        formats={name: form.title for name, form in FORMATS.items()},
        limits=LimitsReply(
            upload_bytes=config.upload_bytes,
            recording_seconds=config.max_seconds,
            jobs_at_once=config.jobs,
            jobs_waiting=config.queue,
        ),
    )


def index_reply(service: Service) -> IndexReply | None:
    """Describe the index; None where none was named."""
    if service.index is None:
        return None
    info = service.index.info
    return IndexReply(
        model=info.model,
        window=info.window,
        hop=info.hop,
        spans=len(service.index),
        files=len(service.index.files()),
        classes=list(info.labels),
    )


def model_reply(model: ServedModel) -> ModelReply:
    """Describe a model."""
    info = model.encoder.info
    return ModelReply(
        id=model.id,
        name=info.name,
        family=info.family,
        sample_rate=info.sample_rate,
        classes=model.classes,
        trained=model.trained,
    )
