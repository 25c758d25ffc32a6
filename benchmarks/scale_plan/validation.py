"""The simulation against the runs of the same rounds: seconds of whole commands, and rates in the middle of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import simpy

from benchmarks.scale_plan.measure import SKIP_ANSWERS, SKIP_UPDATES, UPDATES, rounds
from benchmarks.scale_plan.pool import PoolCosts, simulate_pool
from benchmarks.scale_plan.sharing import cores_of
from benchmarks.scale_plan.steps import Cluster, StepCosts, simulate_steps

WALL, PROCESSOR = 0, 1  # clocks: seconds that passed, and those that processors worked
CORES = 2  # of the machine of the rounds
BAR = 0.15  # error at most
FREE = 0.4  # of two cores, that others used on average in a round whose seconds count; processor seconds count in all rounds
HEALTH_INTERVAL = 50  # updates between two health checks: the default of ``--health-interval``


@dataclass(frozen=True)
class Compared:
    """A quantity as it was measured and simulated in each round."""

    name: str
    unit: str
    measured: list[float]
    simulated: list[float]

    @property
    def errors(self) -> list[float]:
        """Relative error of each round; positive: the simulation takes longer, or more."""
        return [simulated / measured - 1 for measured, simulated in zip(self.measured, self.simulated)]

    @property
    def error(self) -> float:
        """The median error."""
        return statistics.median(self.errors)


def counted(kind: str, clock: int) -> list[dict[str, Any]]:
    """Return the rounds whose figures of this clock mean something; seconds that passed only say much on a free machine."""
    return [row for row in rounds(kind) if clock == PROCESSOR or row["other_cores"] <= FREE]


# ---- tagging
def pool_costs(row: dict[str, Any], clock: int) -> PoolCosts:
    """Return the costs of a round.

    Threads that decode beside the network of their process make both dearer, as measured in one process (``threads``), and let the
    thread of the network wait for the interpreter: what a clip takes there, less its scoring. The slowdown is that of two processes
    that decode and score beside each other. What is dearer counts by the processor's clock, which short disturbances do not change.
    """
    alone, together, pool = row["alone"], row["together"], row["pool"]
    parts = alone["decode"][PROCESSOR] + alone["score"][PROCESSOR]
    threads = max(1.0, alone["threads"][PROCESSOR] / parts)
    clip = alone["decode"][clock] + alone["score"][clock]
    return PoolCosts(
        command=row["command"][clock] - clip,
        process=pool["process"][clock] - clip,
        decode=alone["decode"][clock] * threads,
        score=alone["score"][clock] * threads,
        hand_over=pool["hand_over"],
        gather=pool["gather"],
        end=0.0,  # in ``command``
        wait=max(0.0, alone["threads"][WALL] - threads * alone["score"][WALL]) if clock == WALL else 0.0,
        slowdown=max(1.0, (together["decode"][PROCESSOR] + together["score"][PROCESSOR]) / parts),
    )


def compare_tagging(clock: int) -> list[Compared]:
    """Compare pools of one and two processes."""
    found: list[Compared] = []
    rows = counted("tagging", clock)
    for processes in (1, 2) if rows else ():
        measured = [row["runs"][str(processes)] for row in rows]
        simulated = [
            simulate_pool(pool_costs(row, clock), CORES, processes, run["count"]) for row, run in zip(rows, measured)
        ]
        name = "tag, one process" if processes == 1 else "tag, two processes"
        wholes = [run["seconds"][clock] for run in measured]
        if clock == PROCESSOR:
            found.append(Compared(name, "s", wholes, [run.processor for run in simulated]))
            continue
        rates = [run["rate"] for run in measured]
        found += [
            Compared(f"{name}, steady", "clips/s", rates, [run.rate(SKIP_ANSWERS) for run in simulated]),
            Compared(f"{name}, whole command", "s", wholes, [run.seconds for run in simulated]),
        ]
    return found


# ---- training
def step_costs(row: dict[str, Any], clock: int) -> StepCosts:
    """Return the costs of an update of the small preset; reading from memory is part of loading."""
    alone = {part: value[clock] for part, value in row["alone"].items() if isinstance(value, list)}
    return StepCosts(
        load=alone["load"],
        read_bytes=0.0,
        reads=0,
        forward_backward=alone["step"] - alone["update"],
        update=alone["update"] + alone["log"] + alone["health"] / HEALTH_INTERVAL,
        gradient_bytes=row["alone"]["gradient_bytes"],
        variation=row["alone"]["variation"],
    )


def this_machine(row: dict[str, Any], clock: int, ranks: int) -> Cluster:
    """Return this machine with so many ranks, each with one loader. With all cores busy nothing hides the exchange."""
    alone, together, exchange = row["alone"], row["together"], row["exchange"]
    both = sum(together[part][PROCESSOR] for part in ("step", "load"))  # short disturbances do not change it
    message, whole = exchange["message"][clock], exchange["all_reduce"][clock]
    return Cluster(
        nodes=1,
        ranks=ranks,
        cores=CORES,
        loaders=1,
        slowdown=max(1.0, both / sum(alone[part][PROCESSOR] for part in ("step", "load"))),
        cpu=True,
        link_bytes=alone["gradient_bytes"] / max(1e-9, whole - message),
        link_latency=message / 2,  # two messages follow each other in a ring of two
    )


def start_seconds(row: dict[str, Any], clock: int, ranks: int, slowdown: float) -> tuple[float, float]:
    """Return the seconds, and processor seconds, of the launcher, of ranks that start beside each other, and of their end."""
    env = simpy.Environment()
    machine = cores_of(env, CORES, slowdown)
    work = row["command"][clock] - 2 * row["alone"]["step"][clock]
    env.run(simpy.AllOf(env, [machine.use(work) for _ in range(ranks)]))
    return env.now + row["agent"][clock], machine.busy + row["agent"][clock]


def compare_training(clock: int) -> list[Compared]:
    """Compare runs of one and two ranks."""
    found: list[Compared] = []
    rows = counted("training", clock)
    for ranks in (1, 2) if rows else ():
        steps, starts = [], []
        for row in rows:
            cluster = this_machine(row, clock, ranks)
            steps.append(simulate_steps(step_costs(row, clock), cluster, UPDATES - SKIP_UPDATES, SKIP_UPDATES))
            starts.append(start_seconds(row, clock, ranks, cluster.slowdown))
        measured = [row["runs"][str(ranks)] for row in rows]
        wholes = [run["seconds"][clock] for run in measured]
        name = "pretrain, one rank" if ranks == 1 else "pretrain, two ranks"
        if clock == PROCESSOR:
            spent = [
                busy + UPDATES * (step.processor + ranks * step.exchange) for step, (_, busy) in zip(steps, starts)
            ]
            found.append(Compared(name, "s", wholes, spent))
            continue
        rates = [run["rate"] for run in measured]
        found += [
            Compared(f"{name}, steady", "updates/s", rates, [1 / step.seconds for step in steps]),
            Compared(
                f"{name}, whole command",
                "s",
                wholes,
                [seconds + UPDATES * step.seconds for step, (seconds, _) in zip(steps, starts)],
            ),
        ]
    return found


def validation_table(compared: list[Compared]) -> str:
    """Return a Markdown table, or a sentence where nothing was compared."""
    if not compared:
        return "No round was measured on a free machine yet."
    head = "| run | measured | simulated | error | error by round |\n|---|---:|---:|---:|---|"
    middle = statistics.median
    rows = [
        f"| {c.name} | {middle(c.measured):.2f} {c.unit} | {middle(c.simulated):.2f} {c.unit} | {100 * c.error:+.1f} % | "
        f"{', '.join(f'{100 * error:+.1f}' for error in sorted(c.errors))} |"
        for c in compared
    ]
    return "\n".join([head, *rows])
