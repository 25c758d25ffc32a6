"""A pool of processes of one thread each, on this machine: a process that dies is replaced, and what it held is done again.

Processes ask for parts, and are given the next one. A part whose worker died is done again by itself, so that the part which
kills its workers is found; after ``TRIES`` deaths it is given up and named. Results wait here until it is their turn; no part is
given out that is more than ``AHEAD`` per process before the oldest one that is not done.
"""

from __future__ import annotations

import pickle
import signal
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from auricle.core.errors import AuricleError
from auricle.core.executors.base import Lost, MakeWorker, R, T, Tell
from auricle.core.parallel import blocked, start_worker

TRIES = 3  # of a part: once, and twice more
EARLY_DEATHS = 3  # in a row, of processes that were given nothing
AHEAD = 16  # parts per process that may be done before their turn
STOP_SECONDS = 5.0  # given to a process before it is killed
WANTS, DONE, TOLD, RAISED = "wants", "done", "told", "raised"  # kinds of messages of a process


class PoolExecutor:
    """Work in spawned processes of one thread each.

    Args:
        processes: their number.
    """

    repeatable = True

    def __init__(self, processes: int):
        self.processes = processes

    def run(
        self, make: MakeWorker[T, R], parts: Iterable[T], lost: Lost[T, R], on_message: Tell
    ) -> Generator[R, None, None]:
        """Yield one result per part, in order; see ``Executor.run``.

        Raises:
            AuricleError: when the processes cannot be started.
        """
        run = _PoolRun(make, parts, lost, on_message)
        try:
            for _ in range(self.processes):
                run.start_process()
            yield from run.results()
        finally:
            run.stop()


@dataclass
class _PoolPart:
    """A part, its place in the order, and how many workers died with it."""

    number: int
    content: Any
    deaths: int = 0


@dataclass
class _PoolProcess:
    """A process and what it was given.

    Attributes:
        held: parts without a result, in the order in which they were given.
        wants: it waits for a part.
        alone: it holds one part that is done again, and gets no other meanwhile.
    """

    process: BaseProcess
    connection: Connection
    held: deque[_PoolPart] = field(default_factory=deque)
    wants: bool = False
    alone: bool = False
    used: bool = False


class _PoolRun:
    """One run of a pool: what was given out, what is done, and what is done again."""

    def __init__(self, make: MakeWorker[Any, Any], parts: Iterable[Any], lost: Lost[Any, Any], on_message: Tell):
        self.make, self.lost, self.on_message = make, lost, on_message
        self.parts = enumerate(parts)
        self.context = get_context("spawn")
        self.processes: list[_PoolProcess] = []
        self.again: deque[_PoolPart] = deque()
        self.done: dict[int, Any] = {}
        self.turn = self.given = self.early_deaths = 0
        self.all_given = False

    # ---- processes
    def start_process(self) -> None:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_work, args=(theirs, self.make), daemon=True)
        with blocked(signal.SIGINT):
            process.start()
        theirs.close()
        self.processes.append(_PoolProcess(process, ours))

    def stop(self) -> None:
        """End the processes: those that wait end by themselves, the others are ended."""
        for one in self.processes:
            one.connection.close()
            if not one.wants:
                one.process.terminate()
        for one in self.processes:
            one.process.join(STOP_SECONDS)
            if one.process.is_alive():
                one.process.kill()
                one.process.join()

    # ---- results
    def results(self) -> Iterator[Any]:
        while True:
            while self.turn in self.done:
                yield self.done.pop(self.turn)
                self.turn += 1
            for one in self.processes:
                if one.wants:
                    self._answer(one)
            if self.all_given and self.turn == self.given:
                return
            ready = wait([one.connection for one in self.processes])
            for one in [one for one in self.processes if one.connection in ready]:
                self._receive(one)

    def _answer(self, one: _PoolProcess) -> None:
        """Give a process that asks the next part, or None: finish what you hold. Without either it waits."""
        if one.held and (self.again or one.alone or (part := self._next()) is None):
            self._send(one, None)
        elif one.held:
            self._send(one, part)
        elif self.again:
            one.alone = True
            self._send(one, self.again.popleft())
        elif (part := self._next()) is not None:
            one.alone = False
            self._send(one, part)

    def _next(self) -> _PoolPart | None:
        """Take the next part; None where there is none, or too many are done before their turn."""
        if self.all_given or self.given - self.turn >= AHEAD * len(self.processes):
            return None
        for number, content in self.parts:
            self.given = number + 1
            return _PoolPart(number, content)
        self.all_given = True
        return None

    def _send(self, one: _PoolProcess, part: _PoolPart | None) -> None:
        one.wants = False
        if part is not None:
            one.held.append(part)
            one.used = True
        with suppress(OSError):  # it died: receiving from it says so
            one.connection.send(None if part is None else (part.content,))

    def _receive(self, one: _PoolProcess) -> None:
        try:
            kind, content = one.connection.recv()
        except (EOFError, OSError):
            self._bury(one)
            return
        if kind == WANTS:
            one.wants = True
            if not one.held:
                one.alone = False
        elif kind == DONE:
            self.early_deaths = 0
            self.done[one.held.popleft().number] = content
        elif kind == TOLD:
            self.on_message(content)
        else:
            raise content

    def _bury(self, one: _PoolProcess) -> None:
        """Take back what a dead process held, and start another."""
        one.process.join(STOP_SECONDS)
        one.connection.close()
        self.processes.remove(one)
        self.early_deaths += not one.used
        if self.early_deaths >= EARLY_DEATHS:
            raise AuricleError(
                f"worker processes end as they start ({_ending(one.process)}): use fewer --processes if memory ran out, or "
                "--executor local. In a script of your own, call this under if __name__ == '__main__':"
            )
        for part in one.held:
            part.deaths += 1
            if part.deaths < TRIES:
                self.again.append(part)
            else:
                reason = f"the worker process died each of {TRIES} times ({_ending(one.process)})"
                self.done[part.number] = self.lost(part.content, reason)
        self.start_process()


def _ending(process: BaseProcess) -> str:
    """How a process ended, in words."""
    code = process.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{name}, which may mean that memory ran out" if name == "SIGKILL" else name


# ---- in a process of the pool
def _work(connection: Connection, make: MakeWorker[Any, Any]) -> None:
    """Work on what comes until the connection is closed."""
    start_worker()

    def received() -> Iterator[Any]:
        while True:
            connection.send((WANTS, None))
            part = connection.recv()
            if part is None:
                return
            yield part[0]

    try:
        worker = make(lambda message: connection.send((TOLD, message)))
        while True:
            for result in worker(received()):
                connection.send((DONE, result))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody waits for results any more
    except Exception as error:
        connection.send((RAISED, portable_error(error)))


def portable_error(error: Exception) -> Exception:
    """The exception, or one that says the same and can be sent to another process."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
