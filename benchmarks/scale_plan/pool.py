"""Tagging on one machine, as ``auricle tag --executor pool`` does it: processes that decode ahead of their network."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import simpy

from auricle.inference.pipeline import BATCHES_AHEAD
from benchmarks.scale_plan.sharing import SharedRate, cores_of

DECODE_THREADS = 2  # of a process: the default of ``TagSettings.workers``


@dataclass(frozen=True)
class PoolCosts:
    """Seconds of one core.

    command         from the shell to the first process: imports, the tagger of the command, the list of recordings
    process         of a process of the pool, from its start to the first recording that it asks for
    decode          of a clip: decoding and resampling
    score           of a clip: spectrogram, network, labels
    hand_over       of a clip, in the process: asking for it, its file's stamp, sending the answer
    gather          of a clip, in the command: giving it out, receiving the answer, writing the line
    end             of the command, after the last answer
    wait            of a clip, in the process: the thread of the network waits for the interpreter, which the decoding threads hold
                    meanwhile; no core works for it
    slowdown        times that all of this takes longer while every core is busy
    """

    command: float
    process: float
    decode: float
    score: float
    hand_over: float
    gather: float
    end: float
    wait: float = 0.0
    slowdown: float = 1.0

    @property
    def clip(self) -> float:
        """Seconds of one core that a clip costs."""
        return self.decode + self.score + self.hand_over + self.gather


@dataclass(frozen=True)
class PoolRun:
    """A simulated run.

    seconds       from the start of the command to its end
    answers       when each answer was gathered, seconds
    utilisation   of the cores, 0 to 1
    processor     seconds that all cores worked
    """

    seconds: float
    answers: list[float]
    utilisation: float
    processor: float

    def rate(self, skip: int) -> float:
        """Return the clips per second between the ``skip``-th answer and the ``skip``-th last one."""
        inner = self.answers[skip : len(self.answers) - skip]
        return (len(inner) - 1) / (inner[-1] - inner[0])


def simulate_pool(costs: PoolCosts, cores: int, processes: int, clips: int) -> PoolRun:
    """Tag ``clips`` equal clips with a pool of processes on a machine with ``cores`` cores."""
    env = simpy.Environment()
    machine = cores_of(env, cores, costs.slowdown)
    command = simpy.Resource(env)
    answers: list[float] = []
    parts = iter(range(clips))

    def gather() -> Generator[simpy.Event]:
        with command.request() as turn:
            yield turn
            yield machine.use(costs.gather)
        answers.append(env.now)

    def process() -> Generator[simpy.Event]:
        yield machine.use(costs.process)
        gathered: list[simpy.Event] = []
        for decoded in _decoded(env, machine, costs.decode, parts):
            yield decoded
            yield machine.use(costs.score + costs.hand_over)
            yield env.timeout(costs.wait)
            gathered.append(env.process(gather()))
        yield simpy.AllOf(env, gathered)

    def run() -> Generator[simpy.Event]:
        yield machine.use(costs.command)
        yield simpy.AllOf(env, [env.process(process()) for _ in range(processes)])
        yield machine.use(costs.end)

    env.run(env.process(run()))
    return PoolRun(env.now, answers, machine.utilisation(), machine.busy)


def _decoded(
    env: simpy.Environment, machine: SharedRate, seconds: float, parts: Iterator[int]
) -> Iterator[simpy.Event]:
    """Yield an event per part: it is decoded. As ``load_ahead`` does: BATCHES_AHEAD further parts are begun before."""
    threads = simpy.Resource(env, DECODE_THREADS)

    def decode() -> Generator[simpy.Event]:
        with threads.request() as thread:
            yield thread
            yield machine.use(seconds)

    waiting: deque[simpy.Event] = deque()
    for _ in parts:
        waiting.append(env.process(decode()))
        if len(waiting) > BATCHES_AHEAD:
            yield waiting.popleft()
    yield from waiting
