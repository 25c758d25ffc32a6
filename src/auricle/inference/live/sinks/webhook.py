"""Events of a stream to a web address: one POST of JSON for each, tried again until it is taken."""

from __future__ import annotations

import queue
import threading
import time
import urllib.error
import urllib.request

import numpy as np

from auricle.core.errors import AuricleError
from auricle.inference.live.events import EventChange
from auricle.inference.live.sinks.files import MessageIds
from auricle.version import __version__

MOST_WAITING = 10_000  # events; about 5 MB. Later ones are then not delivered, which is said at the end
TIMEOUT_SECONDS = 10.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts, which double
PATIENCE = 10.0  # seconds at the end for what still waits
REFUSED = range(400, 500)  # answers after which another attempt has no sense, but for:
LATER = {408, 425, 429}


class Webhook:
    """Posts events when they are opened and closed, in order, from a thread of its own.

    Args:
        address: http:// or https://.
        first_wait: seconds before the second attempt.
        patience: seconds that ``close`` waits for.
    """

    def __init__(self, address: str, *, first_wait: float = FIRST_WAIT, patience: float = PATIENCE):
        if not address.startswith(("http://", "https://")):
            raise AuricleError(f"--webhook {address}: expected an address that begins with http:// or https://")
        self.address, self.first_wait, self.patience = address, first_wait, patience
        self.failed, self.reason, self._ids = 0, "", MessageIds()
        self._queue: queue.Queue[bytes | None] = queue.Queue(MOST_WAITING)
        self._ends = float("inf")  # when attempts stop, by ``time.monotonic()``
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="auricle-webhook", daemon=True)
        self._thread.start()

    def add_audio(self, samples: np.ndarray, rate: int, start: float) -> None:
        """Take no notice of the sound."""

    def take(self, change: EventChange, clock: str) -> None:
        if change.kind == "updated":
            return
        try:
            self._queue.put_nowait(self._ids.message(change, clock).encode())
        except queue.Full:
            self.failed, self.reason = self.failed + 1, self.reason or "too many wait"

    def close(self) -> tuple[str, ...]:
        self._ends = time.monotonic() + self.patience
        self._wake.set()
        try:
            self._queue.put(None, timeout=self.patience)
            self._thread.join(self.patience + TIMEOUT_SECONDS)
        except queue.Full:
            pass
        left = self.failed + sum(1 for item in list(self._queue.queue) if item is not None)
        return (f"{left} events did not reach {self.address} ({self.reason or 'no answer'})",) if left else ()

    def _deliver(self) -> None:
        while (body := self._queue.get()) is not None:
            if not self._post_until_taken(body):
                self.failed += 1

    def _post_until_taken(self, body: bytes) -> bool:
        wait = self.first_wait
        while True:
            request = urllib.request.Request(self.address, body, method="POST")
            request.add_header("Content-Type", "application/json")
            request.add_header("User-Agent", f"auricle/{__version__}")
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                    return True
            except urllib.error.HTTPError as error:
                self.reason = f"it answers {error.code}"
                error.close()
                if error.code in REFUSED and error.code not in LATER:
                    return False
            except (OSError, ValueError) as error:
                self.reason = str(getattr(error, "reason", error))
            if time.monotonic() + (wait if self._ends < float("inf") else 0.0) > self._ends:
                return False
            if self._ends == float("inf"):
                self._wake.wait(wait)
            else:
                time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
