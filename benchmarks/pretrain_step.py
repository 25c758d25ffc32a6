"""How fast is a full pre-training step? ``python -m benchmarks.pretrain_step [--method m2d-x] [--device cuda] [--json]``

Forward, backward, clipping, AdamW and teacher averaging of a ViT-B: Auricle's loop against the plain implementation
(plain/m2d_plain.py; for m2d-x, m2d-s and msm-mae plain/m2d_family_plain.py) in float32 and under bf16 autocast, from the
same weights on the same inputs and masks. Rounds are interleaved. On a machine that others use too, wall time misleads:
``--threads 1 --clock cpu`` counts processor time.
Exit code 1 when a ratio or the loss leaves its bounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from benchmarks.pretrain_forms import FORMS, MATMUL, add_arguments

AT_LEAST = {"plain float32": 3.0, "plain bf16": 1.15}  # times faster than
LOSS_WITHIN = 0.01  # of the plain bf16 form's, relative, at every step


class Worker:
    """A form in a process of its own, served by ``module``."""

    def __init__(self, form: str, arguments: list[str], module: str = "benchmarks.pretrain_forms"):
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, form, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.rows: list[dict[str, float]] = []

    def ask(self, command: str) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the form ended early (exit {self.process.wait()}); its message stands above")
        return json.loads(line)

    def step(self, number: int) -> None:
        self.rows.append(self.ask(f"step {number}"))

    def seconds(self) -> list[float]:
        """Of the measured rounds: the first one warms up."""
        return [row["seconds"] for row in self.rows[1:]]

    def losses(self) -> list[float]:
        return [row["loss"] for row in self.rows]


def interleaved(workers: dict[str, Worker], rounds: int) -> dict[str, Worker]:
    """One step of each form after the other, ``rounds`` times after one of warm-up; the same workers."""
    for number in range(rounds + 1):
        for worker in workers.values():
            worker.step(number)
        print(f"round {number} of {rounds}", end="\r", file=sys.stderr)
    return workers


def summary(workers: dict[str, Worker]) -> dict:
    """Medians, quartiles, peaks; ratios are medians over rounds of the ratio within a round."""
    ours, matmul = workers["auricle"], workers["matmul"]
    peak = 2 * MATMUL**3 / statistics.median(matmul.seconds())
    found: dict = {"forms": {}, "faster": {}, "matmul_gflops": peak / 1e9}
    for form, worker in workers.items():
        low, middle, high = statistics.quantiles(worker.seconds(), n=4)
        times = {"median_s": middle, "low_s": low, "high_s": high, "least_s": min(worker.seconds())}
        found["forms"][form] = {**times, **worker.ask("end")}
        if form in AT_LEAST:
            found["faster"][form] = statistics.median(p / o for p, o in zip(worker.seconds(), ours.seconds()))
    found["share_of_peak"] = found["forms"]["auricle"]["operations"] / found["forms"]["auricle"]["median_s"] / peak
    if "plain bf16" in workers:
        pairs = list(zip(workers["plain bf16"].losses(), ours.losses()))
        found["loss_apart"] = max(abs(o - p) / p for p, o in pairs)
        found["last_losses"] = pairs[-1]
    return found


def failures(found: dict, within: float = LOSS_WITHIN) -> list[str]:
    words = [
        f"{found['faster'][form]:.2f} times {form}, expected at least {least}"
        for form, least in AT_LEAST.items()
        if form in found["faster"] and found["faster"][form] < least
    ]
    if found.get("loss_apart", 0.0) > within:
        words.append(f"the loss is {found['loss_apart']:.2%} from the plain bf16 form's")
    return words


def table(found: dict) -> str:
    lines = ["form            median s       quartiles s  least s  peak MiB   GFLOP  GFLOP/s"]
    for form, row in found["forms"].items():
        spread = f"{row['low_s']:.3f} to {row['high_s']:.3f}"
        work = row["operations"] / 1e9
        lines.append(
            f"{form:14} {row['median_s']:9.3f} {spread:>17} {row['least_s']:8.3f} {row['peak_mib']:9.0f} {work:7.0f}"
            f" {work / row['median_s']:8.0f}"
        )
    lines += [f"auricle is {ratio:.2f} times as fast as {form}" for form, ratio in found["faster"].items()]
    lines.append(f"auricle runs at {found['share_of_peak']:.0%} of the bf16 matrix-multiply rate measured beside it")
    if "loss_apart" in found:
        lines.append(f"largest difference of the loss from plain bf16's: {found['loss_apart']:.3%}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    shared = [option for action in parser._actions for option in action.option_strings]
    parser.add_argument("--without", nargs="*", default=[], choices=tuple(AT_LEAST), help="forms to leave out")
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args()
    arguments = passed_on(args, shared)
    workers = {form: Worker(form, arguments) for form in FORMS if form not in args.without}
    found = summary(interleaved(workers, args.rounds))
    print(json.dumps(found, indent=2) if args.json else table(found))
    for word in failures(found):
        print(f"out of bounds: {word}", file=sys.stderr)
    return int(bool(failures(found)))


def passed_on(args: argparse.Namespace, shared: list[str]) -> list[str]:
    """The arguments of a form's process, as given here."""
    given: list[str] = []
    for option in shared:
        value = getattr(args, option.lstrip("-").replace("-", "_"), None)
        if value is True:
            given.append(option)
        elif value not in (None, False):
            given += [option, str(value)]
    return given


if __name__ == "__main__":
    sys.exit(main())
