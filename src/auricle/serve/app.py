"""The application: middleware, routes and the page, around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from auricle.serve.errors import add_error_handlers
from auricle.serve.routes import about, jobs, recordings
from auricle.serve.routes.shared import ERRORS
from auricle.serve.security import Gate, token_of
from auricle.serve.service import Service
from auricle.serve.settings import ServeConfig
from auricle.version import __version__

PAGE = Path(__file__).with_name("page")
SHARED = ("auricle.core", "page")  # modules of all pages
ROUTERS = (about.router, recordings.router, jobs.router)


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
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/", StaticFiles(directory=PAGE, packages=[SHARED], html=True), name="page")
    app.add_middleware(Gate, config=config, token=token)
    return app
