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

CORES = 2  # of the machine of the rounds
BAR = 0.15  # error at most
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


# ---- tagging
def pool_costs(row: dict[str, Any]) -> PoolCosts:
    """Return the costs of a round; the slowdown is that of two processes that decode and score beside each other."""
    alone, together, pool = row["alone"], row["together"], row["pool"]
    clip = alone["decode"] + alone["score"]
    return PoolCosts(
        command=row["command"] - clip,
        process=pool["process"] - clip,
        decode=alone["decode"],
        score=alone["score"],
        hand_over=pool["hand_over"],
        gather=pool["gather"],
        end=0.0,  # in ``command``
        slowdown=max(1.0, (together["decode"] + together["score"]) / clip),
    )


def compare_tagging() -> list[Compared]:
    """Compare pools of one and two processes."""
    found = []
    for processes in (1, 2):
        runs = [row["runs"][str(processes)] for row in rounds("tagging")]
        simulated = [
            simulate_pool(pool_costs(row), CORES, processes, int(run["count"]))
            for row, run in zip(rounds("tagging"), runs)
        ]
        name = f"tag, {processes} process" + "es" * (processes > 1)
        found += [
            Compared(
                f"{name}, steady",
                "clips/s",
                [run["rate"] for run in runs],
                [run.rate(SKIP_ANSWERS) for run in simulated],
            ),
            Compared(f"{name}, whole", "s", [run["seconds"] for run in runs], [run.seconds for run in simulated]),
        ]
    return found


# ---- training
def step_costs(row: dict[str, Any]) -> StepCosts:
    """Return the costs of an update of the small preset; reading from memory is part of loading."""
    alone = row["alone"]
    return StepCosts(
        load=alone["load"],
        read_bytes=0.0,
        reads=0,
        forward_backward=alone["forward_backward"],
        update=alone["update"] + alone["log"] + alone["health"] / HEALTH_INTERVAL,
        gradient_bytes=alone["gradient_bytes"],
        variation=alone["variation"],
    )


def this_machine(row: dict[str, Any], ranks: int) -> Cluster:
    """Return this machine with so many ranks, each with one loader. With all cores busy nothing hides the exchange."""
    alone, together, exchange = row["alone"], row["together"], row["exchange"]
    parts = ("forward_backward", "update", "load")
    latency = exchange["message"] / 2  # two messages follow each other in a ring of two
    return Cluster(
        nodes=1,
        ranks=ranks,
        cores=CORES,
        loaders=1,
        slowdown=max(1.0, sum(together[part] for part in parts) / sum(alone[part] for part in parts)),
        cpu=True,
        link_bytes=alone["gradient_bytes"] / max(1e-9, exchange["all_reduce"] - exchange["message"]),
        link_latency=latency,
    )


def start_seconds(row: dict[str, Any], ranks: int, slowdown: float) -> float:
    """Return the seconds of the launcher and of ranks that start beside each other, and of the end of the run."""
    env = simpy.Environment()
    machine = cores_of(env, CORES, slowdown)
    steps = 2 * (row["alone"]["forward_backward"] + row["alone"]["update"])
    env.run(simpy.AllOf(env, [machine.use(row["command"] - steps) for _ in range(ranks)]))
    return env.now + row["agent"]


def compare_training() -> list[Compared]:
    """Compare runs of one and two ranks."""
    found = []
    for ranks in (1, 2):
        measured_rates, measured_wholes, rates, wholes = [], [], [], []
        for row in rounds("training"):
            cluster = this_machine(row, ranks)
            steady = simulate_steps(step_costs(row), cluster, UPDATES - SKIP_UPDATES, SKIP_UPDATES)
            measured_rates.append(row["runs"][str(ranks)]["rate"])
            measured_wholes.append(row["runs"][str(ranks)]["seconds"])
            rates.append(1 / steady.seconds)
            wholes.append(start_seconds(row, ranks, cluster.slowdown) + UPDATES * steady.seconds)
        name = f"pretrain, {ranks} rank" + "s" * (ranks > 1)
        found += [
            Compared(f"{name}, steady", "updates/s", measured_rates, rates),
            Compared(f"{name}, whole", "s", measured_wholes, wholes),
        ]
    return found


def validation_table(compared: list[Compared]) -> str:
    """Return a Markdown table."""
    head = "| run | measured | simulated | error | error by round |\n|---|---:|---:|---:|---|"
    middle = statistics.median
    rows = [
        f"| {c.name} | {middle(c.measured):.2f} {c.unit} | {middle(c.simulated):.2f} {c.unit} | {100 * c.error:+.1f} % | "
        f"{', '.join(f'{100 * error:+.1f}' for error in sorted(c.errors))} |"
        for c in compared
    ]
    return "\n".join([head, *rows])
