"""What the API answers and takes, as pydantic models: they check requests and describe the API (GET /api/openapi.json)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RecordingId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="id of a recording")]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Window = Annotated[float, Field(ge=0.05, le=3600, allow_inf_nan=False)]
# the name of a class is a cell of tables and a line of label tracks: one line, without control characters
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
ONE_LINE_OF_TEXT = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
LabelText = Annotated[
    str, Field(min_length=1, max_length=200, pattern=ONE_LINE_OF_TEXT, description="name of a class: one line")
]
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


class LabelReply(Reply):
    id: int | None = Field(description="of a label that was drawn; null: an answer of the review")
    recording: str | None = Field(description="null: the recording is not offered any more")
    name: str
    start: float | None = Field(description="seconds; null: the whole recording")
    end: float | None
    label: str
    known: bool = Field(description="false: the label is known not to hold")


class ClassCount(Reply):
    label: str
    yes: int = Field(description="parts in which it holds")
    no: int = Field(description="answers that it does not hold")


class LabelsReply(Reply):
    labels: list[LabelReply]
    classes: list[ClassCount]


class NewLabel(RequestBody):
    recording: RecordingId
    start: Seconds
    end: Seconds
    label: LabelText


class LabelsRequest(RequestBody):
    labels: list[NewLabel] = Field(min_length=1, max_length=1000)


class TrainRequest(RequestBody):
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$", description="of the new model; an earlier one is replaced"
    )
    base: str | None = Field(default=None, max_length=200, description="model to train on; null: the first")


class RunReply(Reply):
    id: str
    name: str
    kind: str = Field(description="method")
    model: str = Field(description="what it began from")
    modified: float = Field(description="seconds since 1970")
    scores: dict[str, float]
    report: bool = Field(description="GET /api/runs/ID/report shows it")


class RunsReply(Reply):
    runs: list[RunReply]


class ReviewItemReply(Reply):
    recording: str | None = Field(description="null: the recording is not offered any more")
    name: str
    start: float
    end: float
    label: str
    score: float | None


class ReviewReply(Reply):
    items: list[ReviewItemReply] = Field(description="the next questions: is the label in this part?")
    answered: int
    total: int = Field(description="questions of the sample")


class NewAnswer(RequestBody):
    recording: RecordingId
    start: Seconds
    end: Seconds
    label: LabelText
    answer: Literal["yes", "no", "other", "unsure"]
    other: str = Field(default="", max_length=200, pattern=ONE_LINE, description="with other: what it is")
    score: Score | None = None


class AnswersRequest(RequestBody):
    answers: list[NewAnswer] = Field(min_length=1, max_length=100)


class AnswersReply(Reply):
    answered: int = Field(description="answers that were kept")


class AnswerReply(Reply):
    name: str
    start: float | None
    end: float | None
    label: str
    answer: str
    other: str


class UndoReply(Reply):
    undone: AnswerReply | None = Field(description="null: there was no answer")


class CurvePointReply(Reply):
    score: float
    precision: float = Field(description="share of right ones among the answers from this score upwards")
    low: float = Field(description="of the 95 % interval")
    high: float
    kept: float = Field(description="share of the right ones that have such a score")


class CurveReply(Reply):
    label: str
    yes: int
    no: int
    unsure: int
    points: list[CurvePointReply]
    threshold: float | None = Field(description="score from which on the wanted precision is reached; null: none does")
    reason: str = Field(description="why there is no threshold, or why it is not certain")


class ExampleRequest(RequestBody):
    """A span of the index, or a part of a recording (without start and end: all of it)."""

    span: int | None = Field(default=None, ge=0, le=2**53)
    recording: RecordingId | None = None
    start: Seconds | None = None
    end: Seconds | None = None


class FiltersRequest(RequestBody):
    """Which spans are searched."""

    after: str = Field(
        default="", max_length=40, description="date, date and time, or time of day: 2024-06-01T05:30, 05:30"
    )
    before: str = Field(default="", max_length=40)
    recorder: str = Field(default="", max_length=200, description="name; * and ? are wildcards")
    place: str = Field(default="", max_length=200)
    path: str = Field(default="", max_length=500, description="pattern of the path, or of its end: pond/*.wav")


class SearchRequest(RequestBody):
    examples: list[ExampleRequest] = Field(default=[], max_length=100, description="sounds that are meant")
    negatives: list[ExampleRequest] = Field(default=[], max_length=100, description="sounds that are not meant")
    label: str = Field(default="", max_length=200, description="a class of the index")
    least: Score = Field(default=0.0, description="lowest score of the label")
    most: Score = Field(default=1.0, description="highest score of the label")
    top_k: int = Field(default=20, ge=1, le=500)
    min_score: float | None = Field(
        default=None, ge=-1, le=1, allow_inf_nan=False, description="least similarity or score"
    )
    overlapping: bool = Field(default=False, description="also spans of which a better one has half")
    filters: FiltersRequest = Field(default=FiltersRequest())


class MatchReply(Reply):
    span: int
    recording: str | None = Field(description="null: the recording is not offered any more")
    name: str
    start: float
    end: float
    similarity: float | None = Field(description="to the examples, -1 to 1; null without examples")
    score: float | None = Field(description="of the label")
    label: str
    recorder: str
    place: str
    time: str | None = Field(description="when the span begins, by the recorder's clock")
    tags: list[TagReply]


class SearchReply(Reply):
    method: str = Field(description="nearest, rocchio or linear; empty without examples")
    searched: int = Field(description="spans that the filters left")
    notes: list[str]
    matches: list[MatchReply]
