"""GET /api/about: what this server offers."""

from __future__ import annotations

from fastapi import APIRouter

from auricle.inference.tag_formats import FORMATS
from auricle.serve.routes.shared import TheService
from auricle.serve.schemas import AboutReply, LimitsReply, ModelReply
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
        index=None,
        folders=[root.name for root in service.library.folders],
        runs=0,
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
