"""Refusals of the API, and how every error becomes ``{"error": {"message", "code"}}``."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from auricle.core.console import printable
from auricle.core.errors import AudioError, AuricleError
from auricle.core.io import failure_of_machine, is_full_disk

CODES = {
    400: "bad_request",
    401: "token",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "timeout",
    409: "conflict",
    411: "length_required",
    413: "too_large",
    415: "unsupported",
    416: "range",
    421: "host",
    422: "invalid",
    429: "busy",
    500: "internal",
    501: "missing_extra",
    503: "busy",
    507: "disk_full",
}
LONGEST_VALUE = 80  # letters of a value in a message


class Refusal(AuricleError):
    """A request that is refused.

    Args:
        status: of HTTP.
        message: what was found, what was expected, what to do.
        headers: of the answer, such as Retry-After.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


def error_answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer to a request that failed."""
    text = printable(message, keep="\n")
    return JSONResponse({"error": {"message": text, "code": CODES.get(status, "error")}}, status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Let every exception of a route become JSON."""
    app.add_exception_handler(AuricleError, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    for kind in (OSError, MemoryError, sqlite3.Error):
        app.add_exception_handler(kind, _on_machine)
    app.add_exception_handler(Exception, _on_fault)


async def _on_refusal(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Refusal):
        return error_answer(error.status, str(error), error.headers)
    if is_full_disk(error):
        return error_answer(507, str(error))
    return error_answer(415 if isinstance(error, AudioError) else 422, str(error))


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and "json" not in kind:
        return error_answer(415, f"expected JSON, with 'Content-Type: application/json'; got '{kind}'")
    lines = []
    for fault in error.errors()[:5]:
        place = ".".join(str(part) for part in fault.get("loc", ())[1:]) or "the body"
        found = repr(fault.get("input"))
        shown = f" (found {found[:LONGEST_VALUE]})" if fault.get("type") not in ("missing", "json_invalid") else ""
        lines.append(f"{place}: {fault.get('msg', 'cannot be used')}{shown}")
    return error_answer(422, "; ".join(lines))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    messages = {
        404: f"there is nothing at {request.url.path}; GET /api/openapi.json lists what there is",
        405: f"{request.url.path} does not take {request.method}; GET /api/openapi.json lists what it takes",
    }
    return error_answer(error.status_code, messages.get(error.status_code, str(error.detail)), error.headers)


async def _on_machine(request: Request, error: Exception) -> JSONResponse:
    """Answer after a failure of the disk or the memory; anything else is a fault of this program."""
    reason = failure_of_machine(error)
    if reason is None:
        raise error
    return error_answer(507, reason)


async def _on_fault(request: Request, error: Exception) -> JSONResponse:
    """Answer after a fault of this program; uvicorn writes the traceback to standard error."""
    return error_answer(500, "this request met a fault of the program; standard error of 'auricle serve' shows it")
