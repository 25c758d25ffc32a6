"""/api/recordings/{id}: the sound of a recording, its waveform and its spectrogram."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from auricle.serve.errors import Refusal
from auricle.serve.library import ServedRecording
from auricle.serve.routes.shared import RecordingPath, TheService
from auricle.serve.schemas import WaveformReply

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
    recording = service.library.get(id)
    path, media = await service.heavy(service.sounds.playable, readable(recording))
    return FileResponse(path, media_type=media, headers=CACHED, content_disposition_type="inline")


@router.get("/waveform", summary="Lowest and highest sample of equal parts of a span")
async def waveform(
    service: TheService,
    id: RecordingPath,
    start: Start = 0.0,
    end: End = None,
    columns: Annotated[int, Query(ge=1, le=MOST_COLUMNS)] = 1000,
) -> WaveformReply:
    recording = readable(service.library.get(id))
    check_span(recording, start, end)
    low, high = await service.heavy(service.pictures.waveform, recording, start, end, columns)
    stop = recording.seconds if end is None else end
    return WaveformReply(start=start, end=stop or 0.0, min=rounded(low), max=rounded(high))


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
    recording = readable(service.library.get(id))
    check_span(recording, start, end)
    drawn = await service.heavy(service.pictures.spectrogram, recording, start, end, width, height, theme == "dark")
    return Response(drawn, media_type="image/png", headers=CACHED)


def readable(recording: ServedRecording) -> ServedRecording:
    """Return the recording. Raises Refusal (415) for one that cannot be read."""
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
