"""/api/recordings/{id}: the sound of a recording, its waveform and its spectrogram."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from auricle.serve.errors import Refusal
from auricle.serve.library import ServedRecording
from auricle.serve.routes.shared import RecordingPath, TheService
from auricle.serve.schemas import WaveformReply
from auricle.serve.service import Service

router = APIRouter(prefix="/api/recordings/{id}", tags=["sound and pictures"])
CACHED = {"cache-control": "private, max-age=60"}
MOST_COLUMNS = 8000
BINARY = {"schema": {"type": "string", "format": "binary"}}

Start = Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False, description="seconds")]
End = Annotated[float | None, Query(ge=0, le=1e7, allow_inf_nan=False, description="seconds; default: the end")]


@router.get(
    "/audio",
    summary="The sound, for players",
    response_class=FileResponse,
    responses={
        200: {"content": {"audio/*": BINARY}},
        206: {"content": {"audio/*": BINARY}, "description": "a range of it"},
    },
)
async def audio(service: TheService, id: RecordingPath) -> FileResponse:
    """Return the file where browsers play its format, else a copy as WAV. Ranges are supported."""
    path, media = await service.heavy(playable, service, id)
    return FileResponse(path, media_type=media, headers=CACHED, content_disposition_type="inline")


@router.get("/waveform", summary="Lowest and highest sample of equal parts of a span")
async def waveform(
    service: TheService,
    id: RecordingPath,
    start: Start = 0.0,
    end: End = None,
    columns: Annotated[int, Query(ge=1, le=MOST_COLUMNS)] = 1000,
) -> WaveformReply:
    return await service.heavy(extremes, service, id, start, end, columns)


@router.get(
    "/spectrogram.png",
    summary="Picture of a span",
    response_class=Response,
    responses={200: {"content": {"image/png": BINARY}}},
)
async def spectrogram(
    service: TheService,
    id: RecordingPath,
    start: Start = 0.0,
    end: End = None,
    width: Annotated[int, Query(ge=1, le=MOST_COLUMNS)] = 1000,
    height: Annotated[int, Query(ge=1, le=1024)] = 256,
    theme: Literal["light", "dark"] = "dark",
) -> Response:
    """Time goes from left to right. Frequency goes upwards on the mel scale, 2595 log10(1 + f / 700), from 0 to half the rate."""
    drawn = await service.heavy(picture, service, id, start, end, width, height, theme == "dark")
    return Response(drawn, media_type="image/png", headers=CACHED)


def playable(service: Service, id: str) -> tuple[Path, str]:
    """Return the file that browsers play, and its media type."""
    return service.sounds.playable(readable(service, id))


def extremes(service: Service, id: str, start: float, end: float | None, columns: int) -> WaveformReply:
    """Return the lowest and the highest samples of a span."""
    recording = readable(service, id)
    check_span(recording, start, end)
    low, high = service.pictures.waveform(recording, start, end, columns)
    stop = recording.seconds if end is None else end
    return WaveformReply(start=start, end=stop or 0.0, min=rounded(low), max=rounded(high))


def picture(service: Service, id: str, start: float, end: float | None, width: int, height: int, dark: bool) -> bytes:
    """Return the spectrogram of a span as PNG."""
    recording = readable(service, id)
    check_span(recording, start, end)
    return service.pictures.spectrogram(recording, start, end, width, height, dark)


def readable(service: Service, id: str) -> ServedRecording:
    """Return a recording. Raises Refusal (415) for one that cannot be read."""
    recording = service.library.get(id)
    if recording.error:
        raise Refusal(415, recording.error)
    return recording


def check_span(recording: ServedRecording, start: float, end: float | None) -> None:
    """Raise Refusal (422) for a span that ends before it starts, or starts after the recording."""
    seconds = recording.seconds or 0.0
    if (end is not None and end <= start) or start >= seconds:
        raise Refusal(422, f"a span needs 0 <= start < end within the {seconds:.3f} s of {recording.name}")


def rounded(values: np.ndarray) -> list[float]:
    """Return (n,) samples as short numbers of JSON."""
    return [round(float(value), 4) for value in values]
