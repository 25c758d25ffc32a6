"""Plan pre-training and tagging on 8 to 1,024 GPUs by simulation, from costs measured here.

    python -m benchmarks.scale_plan --measure tagging --recordings ESC10/audio --weights FILE    a round of measurements
    python -m benchmarks.scale_plan --measure training --prepared FOLDER     (auricle prepare lms ESC10/audio --suffix any)
    python -m benchmarks.scale_plan --measure plan --recordings ESC10/audio --prepared FOLDER
    python -m benchmarks.scale_plan --validate      the simulation against the runs of all rounds; exit code 1 beyond 15 %
    python -m benchmarks.scale_plan --simulate      the whole plan, some minutes
    python -m benchmarks.scale_plan --page          tables and figures of docs/scale-plan.md, from what was kept

Rounds are lines of ``measured.jsonl``: begin with an empty file on another machine. A round wants both cores for itself;
``other_cores`` of its line says what others used. Needs SimPy, which is in the [dev] extra.
"""

from __future__ import annotations

import argparse
import sys

from auricle.core.errors import AuricleError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", choices=("tagging", "training", "plan"), help="measure a round of this kind")
    parser.add_argument("--recordings", default="../shared/data/esc10/audio", help="folder of recordings")
    parser.add_argument("--weights", default="../shared/weights/mn04_as_mAP_432.pt", help="weight file of mn04_as")
    parser.add_argument("--prepared", default="", help="the recordings as log-mel")
    parser.add_argument("--validate", action="store_true", help="compare simulated and real runs")
    parser.add_argument("--simulate", action="store_true", help="simulate the plan")
    parser.add_argument("--page", action="store_true", help="write the tables and figures of the page")
    args = parser.parse_args()
    if not (args.measure or args.validate or args.simulate or args.page):
        parser.error("choose at least one of --measure, --validate, --simulate, --page")
    if args.measure in ("training", "plan") and not args.prepared:
        parser.error(f"--measure {args.measure} needs --prepared FOLDER: auricle prepare lms RECORDINGS --out FOLDER")
    try:
        return _run(args)
    except AuricleError as error:
        print(f"scale_plan: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    from benchmarks.scale_plan import measure, page, results, validation

    if args.measure:
        measure.add_round(args.measure, measure.Sources(args.recordings, args.weights, args.prepared))
    if args.simulate:
        results.simulate()
    if args.page:
        page.write_page()
    if args.validate:
        clocks = (validation.WALL, validation.PROCESSOR)
        compared = [part for c in clocks for part in (*validation.compare_tagging(c), *validation.compare_training(c))]
        print(page.validation_tables())
        return int(any(abs(one.error) > validation.BAR for one in compared))
    return 0


if __name__ == "__main__":
    sys.exit(main())
