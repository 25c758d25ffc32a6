"""How fast is tagging? ``python -m benchmarks.tag [--models mn04 mn10 dymn10] [--weights FILE] [--json]``

A 10-s clip from waveform to logits, batch 1 and 8, one and two threads: what ``auricle tag`` runs against the plain
implementation (plain/efficientat_plain.py), each in a process of its own, rounds interleaved; split into log-mel and
network, with decoding beside them, and the rate of float32 matrix products as the floor of the network. ``once`` is a
clip whose length comes for the first time, ``whole`` one of many of the same length. ``--weights`` is for mn04. On a
machine that others use too wall time misleads, with two threads most of all: ``--threads 1 --clock cpu`` counts
processor time. ``--exported onnx openvino`` times the graphs of ``auricle export`` in the same rounds. Exit code 1 when the
answers differ or a ratio leaves its bounds (batch 1, two threads).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass

from auricle.commands.complexity import network
from auricle.models.efficientat.complexity import complexity
from benchmarks.pretrain_step import Worker
from benchmarks.tag_forms import EXPORTED, FORMS

AT_LEAST = {"mn04": 2.5, "mn10": 2.0, "dymn10": 1.5}  # times as fast as plain; batch 1, two threads, wall time
LOGITS_WITHIN = 1e-3
WARM_UP = 4


@dataclass(frozen=True)
class Case:
    """Milliseconds, medians over the rounds; ``faster`` is the median of the ratios of whole calls within a round.

    exported holds, for each form of ``--exported``, its milliseconds and how many times as long as ours it takes (the median of
    ratios within a round), of the whole call and of the network alone, and how far its logits are from ours.

    floor is the time of the network's multiply-adds at the rate of a large matrix product in the same run.
    """

    model: str
    batch: int
    threads: int
    plain: dict[str, float]
    auricle: dict[str, float]
    least: dict[str, float]
    faster: float
    decode: float
    floor: float
    apart: float
    same_top_ten: bool
    exported: dict[str, dict[str, float]]


def measure(model: str, batch: int, threads: int, args: argparse.Namespace) -> Case:
    weights = ["--weights", args.weights] if args.weights and model == "mn04" else []
    options = ["--model", model, "--batch", str(batch), "--threads", str(threads), "--clock", args.clock, *weights]
    forms = (*FORMS, *args.exported, *(f"{form}-network" for form in args.exported))
    workers = {form: Worker(form, options, "benchmarks.tag_forms") for form in forms}
    every = {form: worker.ask("answer") for form, worker in workers.items()}
    answers = {form: every[form] for form in FORMS}
    rounds = [{form: worker.ask("time") for form, worker in workers.items()} for _ in range(args.rounds + WARM_UP)]
    machine = [workers["auricle"].ask("machine") for _ in range(5)]
    for worker in workers.values():
        worker.process.communicate()
    kept = rounds[WARM_UP:]
    middle = {form: _milliseconds(statistics.median, [r[form] for r in kept]) for form in FORMS}
    rate = max(m["matmul"] for m in machine)
    return Case(
        model,
        batch,
        threads,
        **middle,
        least={form: min(r[form]["whole"] for r in kept) * 1e3 for form in FORMS},
        faster=statistics.median(r["plain"]["whole"] / r["auricle"]["whole"] for r in kept),
        decode=1e3 * statistics.median(m["decode"] for m in machine),
        floor=2e3 * batch * complexity(network(f"{model}_as")).macs / rate,
        apart=max(abs(a - b) for p, o in zip(*answers.values()) for a, b in zip(p, o)),
        same_top_ten=all(_top(p) == _top(o) for p, o in zip(*answers.values())),
        exported={
            form: {
                "milliseconds": 1e3 * statistics.median(r[form]["whole"] for r in kept),
                "of_ours": statistics.median(r[form]["whole"] / r["auricle"]["whole"] for r in kept),
                "network": 1e3 * statistics.median(r[f"{form}-network"]["network"] for r in kept),
                "network_of_ours": statistics.median(
                    r[f"{form}-network"]["network"] / r["auricle"]["network"] for r in kept
                ),
                "apart": max(abs(a - b) for p, o in zip(every["auricle"], every[form]) for a, b in zip(p, o)),
            }
            for form in args.exported
        },
    )


def _milliseconds(pick, rows: list[dict[str, float]]) -> dict[str, float]:
    return {part: 1e3 * pick([row[part] for row in rows]) for part in rows[0]}


def _top(logits: list[float]) -> list[int]:
    return sorted(range(len(logits)), key=lambda c: -logits[c])[:10]


def failures(cases: list[Case], clock: str) -> list[str]:
    words = [
        f"{case.model}, batch {case.batch}, {case.threads} threads: logits {case.apart:.1e} apart"
        for case in cases
        if case.apart > LOGITS_WITHIN or not case.same_top_ten
    ]
    words += [
        f"{case.model}, batch {case.batch}, {case.threads} threads: logits of {form} {found['apart']:.1e} apart"
        for case in cases
        for form, found in case.exported.items()
        if found["apart"] > LOGITS_WITHIN
    ]
    return words + [
        f"{case.model}: {case.faster:.2f} times as fast as plain, expected at least {AT_LEAST[case.model]}"
        for case in cases
        if clock == "wall" and (case.batch, case.threads) == (1, 2) and case.faster < AT_LEAST.get(case.model, 0)
    ]


HEADER = (
    "ms             batch threads  plain: mel  network   whole  auricle: mel  network   whole    once  faster"
    "  least/least  floor  decode    apart"
)


def line(c: Case) -> str:
    p, o = c.plain, c.auricle
    return (
        f"{c.model:14} {c.batch:5} {c.threads:7} {p['mel']:11.2f} {p['network']:8.2f} {p['whole']:7.2f}"
        f" {o['mel']:13.2f} {o['network']:8.2f} {o['whole']:7.2f} {o['once']:7.2f} {c.faster:6.2f}x"
        f" {c.least['plain'] / c.least['auricle']:11.2f}x {c.floor:6.2f} {c.decode:7.2f} {c.apart:8.0e}"
        + "".join(
            f"\n  exported, {form}: {found['milliseconds']:.2f} ms, {found['of_ours']:.2f} times ours; the network alone"
            f" {found['network']:.2f} ms, {found['network_of_ours']:.2f} times ours; {found['apart']:.0e} apart"
            for form, found in c.exported.items()
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(AT_LEAST))
    parser.add_argument("--weights", default="", help="published weight file of mn04 (random weights without)")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"), help="cpu: processor time")
    parser.add_argument(
        "--exported", nargs="*", default=[], choices=tuple(EXPORTED), help="time exported graphs in the same rounds"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args()
    sizes = [(model, batch, threads) for model in args.models for batch in args.batch for threads in args.threads]
    cases = []
    print(HEADER, file=sys.stderr if args.json else sys.stdout, flush=True)
    for size in sizes:
        cases.append(measure(*size, args))
        print(line(cases[-1]), file=sys.stderr if args.json else sys.stdout, flush=True)
    if args.json:
        print(json.dumps([asdict(case) for case in cases], indent=1))
    for word in failures(cases, args.clock):
        print(f"out of bounds: {word}", file=sys.stderr)
    return int(bool(failures(cases, args.clock)))


if __name__ == "__main__":
    sys.exit(main())
