"""What the requests of a server share: recordings, models, jobs, the index; all of it in one folder of state.

STATE/recordings/ID/   an upload: recording.json, audio.wav
STATE/results/         labels of recordings, a file per recording and model
STATE/jobs/ID.json     jobs; those that had not ended are run again at the next start
STATE/models/NAME/     heads that were trained on the page, as run folders
STATE/incoming/        what is being received; emptied at the start
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from auricle.core.console import printable
from auricle.core.errors import AuricleError
from auricle.core.io import dumps, make_folder, writable_cache
from auricle.core.locks import held
from auricle.data.manifest.manifest import Manifest
from auricle.hub.run_folder import RunFolder
from auricle.index.answers import Answer
from auricle.index.database import SoundIndex
from auricle.index.search.examples import embedder_of
from auricle.index.search.find import IndexSearch
from auricle.inference.config import TagSettings
from auricle.inference.embedder import Embedder
from auricle.review.session import ReviewSession
from auricle.serve.errors import Refusal
from auricle.serve.jobs.jobs import JobQueue, Work
from auricle.serve.jobs.results import ResultStore
from auricle.serve.jobs.tagging import TagWork
from auricle.serve.jobs.training import TrainWork
from auricle.serve.labels import LabelBook, clips_to_learn
from auricle.serve.library import Library, ServedRecording, existing
from auricle.serve.pictures import Pictures
from auricle.serve.runs import ServedRun, find_runs
from auricle.serve.sessions import Models
from auricle.serve.settings import ServeConfig
from auricle.serve.sounds import PlayableSounds
from auricle.serve.uploads.decoding import DecoderProcesses
from auricle.serve.uploads.decoding_work import DecodingLimits
from auricle.serve.uploads.uploads import Uploads

R = TypeVar("R")
HEAVY_THREADS = 2  # for pictures and searches
LOCK = "lock"  # in the folder of state, as long as a server uses it


class Service:
    """Everything behind the routes. ``start`` it before the first request, ``stop`` it after the last.

    Args:
        config: the options.

    Raises:
        AuricleError: a folder, a model or the index cannot be used, or another server uses the same state.
    """

    def __init__(self, config: ServeConfig):
        self.config = config
        self.state = state_folder(config)
        self.closing = False
        self._heavy: CapacityLimiter | None = None
        self._real_paths: tuple[int, dict[Path, list[str]]] | None = None  # by the changes of the index
        self._locks = ExitStack()
        make_folder(self.state, "choose another --state")
        self._locks.enter_context(
            held(self.state / LOCK, f"--state {self.state}", "stop that server, or choose another --state")
        )
        try:
            self._open()
        except BaseException:
            self._locks.close()
            raise

    def _open(self) -> None:
        config = self.config
        self.index = None if config.index is None else SoundIndex.open(config.index)
        self.review = None if self.index is None else ReviewSession(self.index, reviewer=config.reviewer)
        self.search = None if self.index is None else IndexSearch(self.index, self._index_embedder)
        self.run_roots = [existing(config.runs)] if config.runs else []
        self.library = Library(config.folders, self.state / "recordings", self._indexed)
        self.models = Models(
            TagSettings(
                window=config.window,
                hop=config.hop,
                precision=config.precision,
                device=config.device,
                batch_size=config.batch_size,
            )
        )
        for number, name in enumerate(config.model):
            self.models.add(name, weights=config.weights if number == 0 else None)
        if self.index is not None and not config.model:
            self.models.add(self.index.info.model, weights=self.index.info.weights or None)
        self.trained = self.state / "models"
        self._add_trained()
        limits = DecodingLimits(config.max_seconds, config.max_cpu, config.memory_bytes)
        self.decoders = DecoderProcesses(config.decoders, limits)
        self.uploads = Uploads(self.library, self.state / "incoming", self.decoders, config.stored_bytes)
        self.labels = LabelBook(self.state / "labels.sqlite")
        self.results = ResultStore(self.state / "results")
        self.pictures = Pictures(self.state / "pictures")
        self.sounds = PlayableSounds(self.state / "sounds", self.decoders)
        self.jobs = JobQueue(self.state / "jobs", self._work(), config.jobs, config.queue)

    def _work(self) -> dict[str, Work]:
        """The kinds of jobs."""
        tagging = TagWork(self.library, self.models, self.results)
        training = TrainWork(self.models, self.trained, self.state / "training", self.clips)
        return {"tag": tagging.tag, "compare": tagging.compare, "train": training.train}

    def _indexed(self) -> list[str]:
        """The paths of the recordings of the index."""
        return [] if self.index is None else [file.path for file in self.index.files()]

    def _index_embedder(self) -> Embedder:
        """Return the session that made the vectors of the index: that of a model that is loaded already, where it is one."""
        assert self.index is not None
        for model in self.models.all():
            if model.encoder.fingerprint() == self.index.info.fingerprint:
                return embedder_of(self.index, model.encoder, device=self.config.device)
        return embedder_of(self.index, device=self.config.device)

    def paths_of(self, recording: ServedRecording) -> list[str]:
        """Return the paths under which the index has a recording, and its own behind them."""
        return [*self._index_paths().get(recording.path, ()), str(recording.path)]

    def _index_paths(self) -> dict[Path, list[str]]:
        """The paths of the index by the real paths of the files."""
        if self.index is None:
            return {}
        changes = self.index.changes()
        if self._real_paths is None or self._real_paths[0] != changes:
            found: dict[Path, list[str]] = {}
            for path in self._indexed():
                found.setdefault(Path(os.path.realpath(path)), []).append(path)
            self._real_paths = changes, found
        return self._real_paths[1]

    def _add_trained(self) -> None:
        """Offer the heads that were trained before the last stop; one that cannot be read is left out."""
        for folder in sorted(self.trained.glob("*")) if self.trained.is_dir() else []:
            if RunFolder(folder).encoder.is_file():
                try:
                    self.models.add(folder, trained=True, id=folder.name)
                except AuricleError as error:
                    print(f"serve: {printable(str(error))}", file=sys.stderr)

    def answers(self) -> list[Answer]:
        """Return one answer to each question of the review."""
        return [] if self.review is None else self.review.answers()

    def clips(self) -> Manifest:
        """Return what there is to learn from: labels that were drawn, and answers. Raises AuricleError for nothing."""
        return clips_to_learn(self.labels.all(), self.answers())

    def runs(self) -> list[ServedRun]:
        """Return the run folders below ``--runs``, and the heads that were trained here."""
        return find_runs([*self.run_roots, *([self.trained] if self.trained.is_dir() else [])])

    def run(self, id: str) -> ServedRun:
        """Return a run folder. Raises Refusal (404) for an unknown id."""
        for run in self.runs():
            if run.id == id:
                return run
        raise Refusal(404, f"there is no run {id}; GET /api/runs lists them")

    async def heavy(self, function: Callable[..., R], *values: Any) -> R:
        """Call a function in one of a few threads, so that pictures and searches leave the others free."""
        if self._heavy is None:  # it belongs to the event loop
            self._heavy = CapacityLimiter(HEAVY_THREADS)
        return await to_thread.run_sync(partial(function, *values), limiter=self._heavy)

    def forget(self, id: str) -> None:
        """Remove an upload and everything that was made of it. Raises Refusal for a recording that is no upload."""
        self.library.remove_upload(id)
        self.results.remove(id)
        self.pictures.forget(id)
        self.labels.remove_recording(id)

    def start(self) -> None:
        """Begin to run jobs."""
        self.jobs.start()

    def stop(self) -> None:
        """Stop jobs and decoders, and give the folder of state free."""
        self.closing = self.pictures.stopping = True
        self.decoders.stop()
        self.jobs.stop()
        self._locks.close()


def state_folder(config: ServeConfig) -> Path:
    """Return the folder of ``--state``; where none is named, one in the cache that the same command line finds again."""
    if config.state is not None:
        return Path(config.state)
    named = [[os.path.realpath(name) for name in config.folders], list(config.model), config.index, config.runs]
    key = hashlib.sha256(dumps(named).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return writable_cache()[0] / "serve" / key
