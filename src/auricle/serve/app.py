"""The application: middleware, routes and the page, around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles

from auricle.serve.errors import add_error_handlers
from auricle.serve.patience import Patience
from auricle.serve.routes import about, jobs, labels, media, recordings, review, runs, search, tags
from auricle.serve.routes.shared import ERRORS
from auricle.serve.security import Gate, token_of
from auricle.serve.service import Service
from auricle.serve.settings import ServeConfig
from auricle.version import __version__

PAGE = Path(__file__).with_name("page")
SHARED = ("auricle.core", "page")  # modules of all pages
FRESH = {"cache-control": "no-cache"}  # asked for again, and sent again where it has changed: after an update
TOPICS = (about, recordings, media, tags, jobs, search, review, labels, runs)


class PageFiles(StaticFiles):
    """The files of the page: its own, and those that all pages share."""

    def __init__(self) -> None:
        super().__init__(directory=PAGE, packages=[SHARED], html=True)

    def file_response(self, *args: Any, **options: Any) -> Response:
        answer = super().file_response(*args, **options)
        answer.headers.update(FRESH)
        return answer


def make_app(config: ServeConfig, service: Service | None = None) -> FastAPI:
    """Make the application. Its service starts and stops with it.

    Args:
        config: the options.
        service: in place of one made from ``config``.

    Raises:
        AuricleError: as ``Service``.

    Example:
        app = make_app(ServeConfig(("sounds",), ("mn04_as",)))  # for uvicorn.run
    """
    service = service or Service(config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="Auricle",
        version=__version__,
        description="Labels, similar sounds, review and training over one's own recordings.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # the pages of FastAPI load their scripts from other servers
        redoc_url=None,
        lifespan=lifespan,
        responses=ERRORS,
    )
    token = token_of(config)
    app.state.service, app.state.token = service, token
    add_error_handlers(app)
    for topic in TOPICS:
        app.include_router(topic.router)
    app.mount("/", PageFiles(), name="page")
    app.add_middleware(Patience, config=config)
    app.add_middleware(Gate, config=config, token=token)  # the outer one: strangers are refused first
    return app
