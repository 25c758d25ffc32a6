"""How fast is a full MAE-AST step, and how does it grow with the clips? ``python -m benchmarks.pretrain_step_mae_ast``

Masking, forward, backward, clipping and MAE-AST's Adam of the base model on 4 clips of 10 s: Auricle's loop against the plain
implementation (plain/mae_ast_plain.py) in float32 and under bf16 autocast, from the same weights on the same inputs and
masks; dropout as published, so the losses differ by its noise. Rounds are interleaved. Exit code 1 when a ratio or the loss
leaves its bounds.

python -m benchmarks.pretrain_step_mae_ast --lengths 2 5 10 20 40 --picture docs/images/mae_ast_cost.png
    time and peak memory of a step against the length of a clip
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys

from benchmarks import pretrain_step
from benchmarks.mae_ast_forms import FORMS, add_arguments
from benchmarks.pretrain_step import AT_LEAST, Worker, interleaved, passed_on, summary, table

MODULE = "benchmarks.mae_ast_forms"
LOSS_WITHIN = 0.05  # of the plain bf16 form's, relative, at every step: the noise of dropout
COMPARED = ("plain bf16", "auricle")  # against length


def measure(args: argparse.Namespace, arguments: list[str], forms: list[str]) -> dict[str, Worker]:
    """Interleaved steps of the forms, each in a process of its own."""
    return interleaved({form: Worker(form, arguments, MODULE) for form in forms}, args.rounds)


def by_length(args: argparse.Namespace, arguments: list[str]) -> list[dict]:
    """One row per length and form: median seconds of a step, peak MiB, operations."""
    rows = []
    for seconds in args.lengths:
        forms = [form for form in COMPARED if form not in args.without]
        for form, worker in measure(args, [*arguments, "--seconds", str(seconds)], forms).items():
            row = {"seconds": seconds, "form": form, "step_s": statistics.median(worker.seconds()), **worker.ask("end")}
            rows.append(row)
            print(f"{seconds:5g} s {form:12} {row['step_s']:8.3f} s a step {row['peak_mib']:8.0f} MiB")
    return rows


def draw(rows: list[dict], path: str, batch: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, sides = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for axes, key, label in zip(sides, ("step_s", "peak_mib"), ("seconds a step", "peak memory, MiB")):
        for form, colour in zip(COMPARED, ("#999999", "#0072b2")):
            mine = [row for row in rows if row["form"] == form]
            axes.plot([row["seconds"] for row in mine], [row[key] for row in mine], "o-", color=colour, label=form)
        axes.set_xlabel(f"seconds of a clip ({batch} clips)")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    shared = [option for action in parser._actions for option in action.option_strings]
    parser.add_argument("--without", nargs="*", default=[], choices=tuple(AT_LEAST), help="forms to leave out")
    parser.add_argument("--lengths", nargs="+", type=float, help="measure against these lengths of a clip, in seconds")
    parser.add_argument("--picture", help="PNG to draw the lengths to (needs the [plots] extra)")
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args()
    if args.lengths:
        rows = by_length(args, passed_on(args, shared))
        if args.picture:
            draw(rows, args.picture, args.batch)
        if args.json:
            print(json.dumps(rows, indent=2))
        return 0
    found = summary(measure(args, passed_on(args, shared), [form for form in FORMS if form not in args.without]))
    print(json.dumps(found, indent=2) if args.json else table(found))
    words = pretrain_step.failures(found, LOSS_WITHIN)
    for word in words:
        print(f"out of bounds: {word}", file=sys.stderr)
    return int(bool(words))


if __name__ == "__main__":
    sys.exit(main())
