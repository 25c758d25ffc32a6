"""What the API answers and takes, as pydantic models: they check requests and describe the API (GET /api/openapi.json)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

RecordingId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="id of a recording")]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
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
    tagged: list[str] = Field(description="models of which there are results")


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
