"""``auricle suggest``: the clips of recordings that are most worth a label, as a table and as a page that takes the answers.

One pass over the recordings gives scores and embeddings of all windows. The chosen clips alone are read again, for the page.
"""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.errors import AuricleError, first_line, nearest
from auricle.core.io import make_folder, write_text
from auricle.core.options import argument, check_choices, check_ranges, names_of, option, paths_as_text
from auricle.detectors.suggestions import RANDOM, Suggestion
from auricle.inference.config import PRECISIONS

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.detectors.labelled_spans import LabelledSpans
    from auricle.detectors.window_scan import WindowScan
    from auricle.inference.embedder import Embedder
    from auricle.models.base import Encoder
    from auricle.models.label_space import LabelSpace

TABLE, PAGE = "suggestions.csv", "label.html"  # in the output folder
COLUMNS = ("path", "start", "end", "suggested_label", "score", "reason", "probability")
WINDOW = 5.0  # seconds: long enough to know a sound by, short enough to have one label
NEAR = (
    0.9  # similarity; overlapping windows of one recording have 0.88 in the median (ESC-10, mn04), two recordings -0.07
)


@dataclass(frozen=True)
class SuggestConfig:
    """Where clips are looked for, which model is unsure of them, how many are suggested, and what is written."""

    source: tuple[str, ...] = argument("audio files, folders or tables", many=True)
    model: str = option(help="a model with classes: a run folder, a weight file or a published name")
    weights: str | None = option(None, "local weight file of a published name")
    out: str | None = option(
        "suggestions", f"folder for {TABLE} and {PAGE}; none: write nothing", special={"none": None}
    )
    top_k: int = option(50, "number of clips to suggest")
    window: float = option(WINDOW, "seconds of a clip; shorter recordings are clips as they are")
    hop: float | None = option(
        None, "seconds between the starts of two windows, or auto: a whole window", special={"auto": None}
    )
    random_ratio: float = option(
        0.2, "share of the clips that is drawn at random, so that rates can be estimated without bias"
    )
    near: float = option(
        NEAR, "similarity of embeddings (-1 to 1) above which a clip is a near-duplicate of a chosen or labelled one"
    )
    head: str | None = option(
        None,
        "of a model with several heads, the one to ask about; all: the classes of all heads",
        special={"all": None},
    )
    only: tuple[str, ...] = option((), "classes to ask about, and no others")
    exclude: tuple[str, ...] = option((), "tables of clips that are labelled already, such as an earlier labels.csv")
    link: bool = option(False, "the page plays the recordings where they are, in place of holding the sound")
    overwrite: bool = option(False, "replace the suggestions in --out")
    seed: int = option(0, "seed of the random clips", advanced=True)
    precision: str = option("float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS)
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(16, "windows encoded together", advanced=True)
    workers: int = option(2, "threads that decode audio; does not change the results", advanced=True)

    def __post_init__(self) -> None:
        for name in ("source", "only", "exclude"):
            value = getattr(self, name)
            value = (value,) if isinstance(value, (str, os.PathLike)) else tuple(value)
            object.__setattr__(self, name, value)
        paths_as_text(self)
        check_choices(self)
        check_ranges(self, ("top_k", "batch_size", "workers"), 1)
        check_ranges(self, ("random_ratio",), 0, 1)
        check_ranges(self, ("near",), -1, 1)
        if not 0 < self.window < float("inf") or (self.hop is not None and not 0 < self.hop < float("inf")):
            raise AuricleError(f"--window and --hop are seconds above 0, got {self.window} and {self.hop}")


@dataclass(frozen=True)
class Suggestions:
    """The clips that are most worth a label; prints as a table.

    Attributes:
        model: name of the model.
        clips: the suggestions: doubtful ones in the order of choice, then the random ones.
        candidates: number of windows without a label that were looked at.
        failed: {file: error message}.
        notes: what should be known about the choice.
        table, page: the files written; None: nothing was written.
    """

    model: str
    clips: tuple[Suggestion, ...]
    candidates: int
    failed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    table: Path | None = None
    page: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        paths = {name: value and str(value) for name, value in (("table", self.table), ("page", self.page))}
        return {
            "model": self.model,
            "candidates": self.candidates,
            "suggestions": [asdict(clip) for clip in self.clips],
            "failed": [{"file": file, "error": error} for file, error in self.failed.items()],
            "notes": list(self.notes),
            **paths,
        }

    def __str__(self) -> str:
        drawn = sum(clip.reason == RANDOM for clip in self.clips)
        rows = [f"{len(self.clips)} of {self.candidates} clips, {drawn} of them random"]
        for clip in self.clips:
            span = "" if clip.start is None else f" {clip.start:g}-{clip.end:g} s"
            rows.append(f"  {Path(clip.path).name}{span}  {clip.label} {clip.score:.3f}  {clip.reason}")
        return "\n".join(rows)


def suggest(
    source: str | Path | Sequence[str | Path],
    model: str | Path | Encoder,
    *,
    top_k: int = 50,
    out: str | Path | None = None,
    weights: str | Path | None = None,
    exclude: str | Path | Sequence[str | Path] = (),
    quiet: bool = True,
    **settings: Any,
) -> Suggestions:
    """Find the clips of recordings that are most worth a label.

    Args:
        source: a file, a folder, a table, or a list of them.
        model: an Encoder with classes, a run folder, a weight file or a published name.
        top_k: number of clips.
        out: folder for the table ``suggestions.csv`` and the page ``label.html``; None: nothing is written.
        weights: a local file of a published name.
        exclude: tables of clips that are labelled already. Those that a run folder learnt from are left out too.
        quiet: no progress bar.
        settings: options of ``auricle suggest --help all`` by name, such as ``window=3.0`` or ``random_ratio=0.5``.

    Returns:
        Suggestions: path, start and end in seconds, label, score and reason of each clip; ``failed``: broken files.

    Raises:
        AuricleError: for an unknown setting, a model without classes, a source without audio, and where all is labelled.

    Example:
        found = auricle.suggest("sounds", "mn04_as", top_k=5, window=2.0)
        for clip in found.clips:
            print(clip.path, clip.start, clip.label, round(clip.score, 2), clip.reason)
    """
    from auricle.models.base import Encoder

    named = model if isinstance(model, (str, os.PathLike)) else ""
    sources = (source,) if isinstance(source, (str, os.PathLike)) else tuple(source)
    config = SuggestConfig(sources, named, top_k=top_k, weights=weights and str(weights), exclude=exclude, out=out)  # type: ignore[arg-type]
    for name in settings.keys() - names_of(config):
        raise AuricleError(f"there is no setting '{name}'{nearest(name, tuple(sorted(names_of(config))))}")
    config = replace(config, **settings)
    return suggest_clips(config, model if isinstance(model, Encoder) else None, quiet=quiet)


def suggest_clips(config: SuggestConfig, encoder: Encoder | None = None, *, quiet: bool = False) -> Suggestions:
    """Find the clips that are most worth a label, and write the table and the page.

    Args:
        config: the settings.
        encoder: in place of ``config.model``.
        quiet: no progress bar.

    Raises:
        AuricleError: as ``suggest``.
    """
    from auricle.detectors.window_scan import SuggestionChoice, WindowScan
    from auricle.hub.load import load
    from auricle.inference.embedder import Embedder
    from auricle.inference.head_reader import chosen_classes
    from auricle.models.heads.joined import chosen_heads

    folder = _output_folder(config)
    embedder = Embedder(
        chosen_heads(encoder or load(config.model, weights=config.weights), config.head),
        precision=config.precision,
        device=config.device,
        batch_size=config.batch_size,
        workers=config.workers,
    )
    space = embedder.info.label_space
    if space is None:
        raise AuricleError(
            f"{embedder.info.name} has no classes, so it is sure of nothing and unsure of nothing; name a run of "
            "'auricle finetune', or a tagger of 'auricle models list'"
        )
    asked = chosen_classes(space, config.only)
    windows, notes = _windows(config)
    spans, more = _labelled_spans(config)
    choice = SuggestionChoice(config.top_k, config.random_ratio, config.near, config.seed)
    scan = WindowScan(windows, embedder, spans, choice, asked)
    scan.known_vectors += _kept_vectors(config, embedder.info.clip_dim)
    if not len(scan.open_rows):
        raise AuricleError(
            f"all {len(windows)} clips of {' '.join(config.source)} are labelled already: name other recordings"
        )
    scan.run(quiet)
    if not scan.done:
        reasons = list(scan.failed.values())
        raise AuricleError(f"none of the recordings can be read: {reasons[0] if reasons else 'no audio'}")
    clips = scan.chosen()
    notes += [*more, *_remarks(config, clips, scan)]
    result = Suggestions(embedder.info.name, clips, len(scan.open_rows), scan.failed, tuple(notes))
    return result if folder is None else _written(result, folder, config, embedder, space, asked)


# ---- where clips come from


def _output_folder(config: SuggestConfig) -> Path | None:
    """The folder to write into. Raises AuricleError for one that holds suggestions, before anything is computed."""
    if config.out is None:
        return None
    folder = Path(config.out)
    if folder.exists() and not folder.is_dir():
        raise AuricleError(f"--out {folder} is a file; expected a folder, which is made")
    if (folder / TABLE).exists() and not config.overwrite:
        raise AuricleError(
            f"{folder} holds suggestions already; choose another --out, or replace them with --overwrite (answers are kept in "
            "the browser, and in the labels.csv that you saved)"
        )
    make_folder(folder, "choose another --out")
    return folder


def _windows(config: SuggestConfig) -> tuple[Manifest, list[str]]:
    """The windows of all recordings, a clip each, and notes. A recording of one window is that window, as a whole."""
    from auricle.inference.coercion import as_manifest, cut_into_distinct_windows

    manifest = as_manifest(config.source if len(config.source) > 1 else config.source[0])
    recordings = replace(manifest, clips=tuple(clip for clip in manifest if clip.path is not None))
    if not len(recordings):
        raise AuricleError(f"{' '.join(config.source)} holds no recordings, which a person could label by ear")
    if all(os.path.isdir(recordings.root / str(clip.path)) for clip in recordings):
        raise AuricleError(f"{' '.join(config.source)}: no audio in and below this folder")
    cut = cut_into_distinct_windows(recordings, config.window, config.hop or config.window)
    whole = {clip.path for clip in recordings if clip.start is None and clip.end is None}
    single = {path for path, count in Counter(clip.path for clip in cut).items() if count == 1} & whole
    clips = tuple(replace(c, id=str(c.path), start=None, end=None) if c.path in single else c for c in cut)
    return replace(cut, clips=clips), list(manifest.notes_but_leaks())


def _labelled_spans(config: SuggestConfig) -> tuple[LabelledSpans, list[str]]:
    """What is labelled already: the tables of --exclude, and what the run learnt from; and notes."""
    from auricle.data.manifest.formats import read_manifest
    from auricle.detectors.labelled_spans import LabelledSpans, add_learnt_clips
    from auricle.hub.run_folder import RunFolder

    spans, notes = LabelledSpans(), []
    for table in config.exclude:
        spans.add(read_manifest(table), labelled_only=False)
    run = RunFolder(Path(config.model)) if config.model else None
    if run is not None and run.config.is_file():
        try:
            add_learnt_clips(spans, run)
        except AuricleError as error:
            notes.append(
                f"the clips that {config.model} learnt from cannot be read, so they may be suggested again "
                f"({first_line(error)}); name their table with --exclude"
            )
    return spans, notes


def _kept_vectors(config: SuggestConfig, width: int) -> list[np.ndarray]:
    """Embeddings (D,) of the clips that a detector on a frozen encoder learnt from; [] where they are not kept."""
    from auricle.detectors.features import load_features
    from auricle.hub.run_folder import RunFolder

    path = RunFolder(Path(config.model)).features if config.model else None
    if path is None or not path.is_file():
        return []
    vectors = load_features(path)[0].clip
    return list(vectors) if vectors.shape[1] == width else []


def _remarks(config: SuggestConfig, clips: Sequence[Suggestion], scan: WindowScan) -> list[str]:
    """What should be known about the choice."""
    count, notes = len(scan.open_rows), list[str]()
    labelled = int(scan.labelled.sum())
    if labelled:
        notes.append(f"{labelled} clips are labelled already and are not suggested")
    if count < config.top_k:
        notes.append(f"there are only {count} clips without a label; --top-k asks for {config.top_k}")
    missing = min(config.top_k, count) - len(clips)
    if missing > 0 and not scan.failed:
        notes.append(
            f"{missing} clips fewer than asked for: the others are near-duplicates (similarity above {config.near:g}, --near) "
            "of chosen or labelled ones"
        )
    return notes


# ---- what is written


def _written(
    result: Suggestions,
    folder: Path,
    config: SuggestConfig,
    embedder: Embedder,
    space: LabelSpace,
    asked: Sequence[int],
) -> Suggestions:
    """Write the table and the page, and return the result with their names."""
    from auricle.hub.run_folder import RunFolder
    from auricle.reports.clip_pages.label_page import LabelQuestions, label_page

    background = [space.names[c] for c in range(len(space)) if space.ids[c] in space.background]
    grows = bool(config.model) and RunFolder(Path(config.model)).features.is_file()
    questions = LabelQuestions(
        model=result.model,
        kind=space.kind,
        classes=tuple(space.names[c] for c in asked),
        none=(background or ["background"])[0] if space.kind == "multiclass" else "",
        clips=result.clips,
        command=f"auricle finetune labels.csv {'--from' if grows else '--model'} {shlex.quote(config.model or result.model)}",
    )
    page = label_page(questions, embedder.encoder, folder, link=config.link)
    write_text(folder / TABLE, table_text(result.clips))
    write_text(folder / PAGE, page)
    return replace(result, table=folder / TABLE, page=folder / PAGE)


def table_text(clips: Sequence[Suggestion]) -> str:
    """Return the CSV text of suggestions. It has no column ``label``: a suggestion is no label."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(clip) for clip in clips)
    return out.getvalue()


def _cells(clip: Suggestion) -> Iterator[str]:
    yield clip.path
    yield from ("" if seconds is None else f"{seconds:.12g}" for seconds in (clip.start, clip.end))
    yield from (clip.label, f"{clip.score:.6f}", clip.reason)
    yield "" if clip.probability is None else f"{clip.probability:.6g}"
