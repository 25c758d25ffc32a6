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
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from auricle.core.io import dumps, make_folder, writable_cache
from auricle.core.locks import held
from auricle.inference.config import TagSettings
from auricle.serve.decoding import DecoderProcesses
from auricle.serve.decoding_work import DecodingLimits
from auricle.serve.jobs import JobQueue, Work
from auricle.serve.library import Library
from auricle.serve.pictures import Pictures
from auricle.serve.results import ResultStore
from auricle.serve.sessions import Models
from auricle.serve.settings import ServeConfig
from auricle.serve.sounds import PlayableSounds
from auricle.serve.tagging import TagWork
from auricle.serve.uploads import Uploads, UploadSettings

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
        self.library = Library(config.folders, self.state / "recordings")
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
        limits = DecodingLimits(config.max_seconds, config.max_cpu, config.memory_bytes)
        self.decoders = DecoderProcesses(config.decoders, limits)
        self.uploads = Uploads(
            self.library,
            self.state / "incoming",
            self.decoders,
            UploadSettings(config.upload_bytes, config.stored_bytes, config.read_timeout),
        )
        self.results = ResultStore(self.state / "results")
        self.pictures = Pictures(self.state / "pictures")
        self.sounds = PlayableSounds(self.state / "sounds", self.decoders)
        self.jobs = JobQueue(self.state / "jobs", self._work(), config.jobs, config.queue)

    def _work(self) -> dict[str, Work]:
        """The kinds of jobs."""
        tagging = TagWork(self.library, self.models, self.results)
        return {"tag": tagging.tag, "compare": tagging.compare}

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

    def start(self) -> None:
        """Begin to run jobs."""
        self.jobs.start()

    def stop(self) -> None:
        """Stop jobs and decoders, and give the folder of state free."""
        self.closing = True
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
