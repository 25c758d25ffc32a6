"""What the API answers and takes, as pydantic models: they check requests and describe the API (GET /api/openapi.json)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

RecordingId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="id of a recording")]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Window = Annotated[float, Field(ge=0.05, le=3600, allow_inf_nan=False)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Reply(BaseModel):
    """An answer."""


class RequestBody(BaseModel):
    """The JSON of a request; names that it does not know are refused."""

    model_config = ConfigDict(extra="forbid")


class ErrorText(Reply):
    message: str = Field(description="what was found, what was expected, what to do")
    code: str = Field(description="a word for programs, such as not_found, too_large, invalid, busy, token")


class ErrorReply(Reply):
    """Every answer with a status from 400 on."""

    error: ErrorText


class ModelReply(Reply):
    id: str = Field(description="what requests call it")
    name: str
    family: str
    sample_rate: int = Field(description="hertz")
    classes: dict[str, list[str]] = Field(description="names of the classes of each head; empty: it cannot tag")
    trained: bool = Field(description="a head that was trained on this page")


class IndexReply(Reply):
    model: str
    window: float = Field(description="seconds")
    hop: float = Field(description="seconds")
    spans: int
    files: int
    classes: list[str] = Field(description="labels that a search may name")


class LimitsReply(Reply):
    upload_bytes: int
    recording_seconds: float
    jobs_at_once: int
    jobs_waiting: int


class AboutReply(Reply):
    version: str
    models: list[ModelReply] = Field(description="the first is the default")
    index: IndexReply | None
    folders: list[str] = Field(description="names of the folders that were given")
    runs: int = Field(description="number of run folders")
    window: float = Field(description="seconds of a window where a request does not say")
    hop: float
    formats: dict[str, str] = Field(description="name of each download format, and what it is")
    limits: LimitsReply


class TagReply(Reply):
    label: str
    score: float = Field(description="0 to 1")


class RecordingReply(Reply):
    id: RecordingId
    name: str
    source: str = Field(description="folder, upload or index")
    seconds: float | None = Field(description="null: it cannot be read")
    rate: int | None = Field(description="hertz")
    channels: int | None
    added: float | None = Field(description="of an upload, seconds since 1970")
    notes: list[str]
    error: str | None = Field(description="why it cannot be read")
    tagged: list[str] = Field(description="ids of the models of which there are results")
    tags: dict[str, list[TagReply]] = Field(description="the likeliest labels, by the model's id")


class RecordingsReply(Reply):
    total: int = Field(description="recordings whose names match")
    recordings: list[RecordingReply]


class UploadedFile(Reply):
    """One file of an upload: a recording, or why it was refused."""

    name: str
    recording: RecordingReply | None = None
    error: ErrorText | None = None


class UploadReply(Reply):
    files: list[UploadedFile] = Field(description="in the order in which they were sent")
    error: ErrorText | None = Field(default=None, description="why none of them was kept")


class WaveformReply(Reply):
    """Lowest and highest sample of equal parts of a span."""

    start: float = Field(description="seconds")
    end: float
    min: list[float]
    max: list[float]


class EventReply(Reply):
    label: str
    start: float = Field(description="seconds")
    end: float
    score: float


class LaneReply(Reply):
    """One class over time."""

    label: str
    score: float = Field(description="the highest one")
    threshold: float = Field(description="where an event begins")
    scores: list[float] = Field(description="in each window; 0 where it is not among the likeliest of the window")


class ResultsReply(Reply):
    recording: str
    model: str
    window: float = Field(description="seconds")
    hop: float
    seconds: float
    tags: list[TagReply] = Field(description="the highest score of each label in any window")
    detected: list[TagReply] | None = Field(description="labels that reach their thresholds; null: the model has none")
    events: list[EventReply]
    windows: list[tuple[float, float]] = Field(description="start and end of each, in seconds")
    lanes: list[LaneReply] = Field(description="classes over time: those with events first, then by score")
    notes: list[str]


class TagRequest(RequestBody):
    recordings: list[RecordingId] = Field(min_length=1, max_length=1000)
    model: str | None = Field(default=None, max_length=200, description="id of a model; null: the first")
    window: Window | None = Field(default=None, description="seconds scored at a time; null: that of the server")
    hop: Window | None = Field(default=None, description="seconds between two windows; null: half a window")


class CompareRequest(RequestBody):
    recording: RecordingId
    models: list[Annotated[str, Field(max_length=200)]] = Field(
        min_length=2, max_length=2, description="ids of two models"
    )
    window: Window | None = None
    hop: Window | None = None


class JobReply(Reply):
    id: str
    kind: str = Field(description="tag, compare or train")
    state: str = Field(description="queued, running, done, failed or cancelled")
    progress: float = Field(description="0 to 1")
    message: str
    result: Any = Field(description="of a job that is done")
    error: str | None
    created: float = Field(description="seconds since 1970")
    started: float | None
    ended: float | None
    partial: list[dict[str, Any]] = Field(description="results before the end")


class JobsReply(Reply):
    jobs: list[JobReply]
