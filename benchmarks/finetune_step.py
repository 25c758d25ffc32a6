"""How fast is a step of fine-tuning, and does it wait for data? ``python -m benchmarks.finetune_step [--networks mn10 vitb]``

Forward, loss, backward, clipping and AdamW in Auricle's loop against a plain loop around the same network from plain/, of the
same batch and precision (MN of width 1.0 from waveforms in float32, ViT-B from spectrograms in bf16), rounds interleaved, each
form in a process of its own, so that peak memory is its own. Then a run of ``auricle.finetune`` on flac recordings with two
workers: the share of the time that it waits for data. On a machine that others use too: ``--threads 1 --clock cpu``.
Exit code 1 when a ratio or the wait leaves its bounds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.finetune_forms import CLASSES, FORMS, PRECISION, add_arguments
from benchmarks.pretrain_step import Worker, interleaved, passed_on

MODULE = "benchmarks.finetune_forms"
AT_LEAST = {"mn10": 2.0, "vitb": 1.2}  # times faster than the plain loop
MOST_WAIT = 0.05  # share of the time of an epoch
COPIES = 4  # of each recording, so that an epoch takes longer than the first seconds, which the log leaves out


def measure(network: str, args: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """Clips per second and peak MiB of both forms; the ratio is the median over rounds of the ratio within a round."""
    given = [*arguments, "--network", network]
    workers = interleaved({form: Worker(form, given, MODULE) for form in FORMS}, args.rounds)
    seconds = {form: worker.seconds() for form, worker in workers.items()}
    ratio = statistics.median(p / o for p, o in zip(seconds["plain"], seconds["auricle"]))
    forms = {
        form: {"clips_per_s": args.batch / statistics.median(seconds[form]), "peak_mib": worker.ask("end")["peak_mib"]}
        for form, worker in workers.items()
    }
    return {"network": network, "precision": PRECISION[network], "batch": args.batch, "faster": ratio, "forms": forms}


def data_wait(workers: int, batch: int, epochs: int = 2) -> float:
    """Share of the last epoch that a run waits for recordings of 10 s in flac at 44.1 kHz; the network is mn10 from random."""
    import auricle
    from auricle.training.log import read_log
    from benchmarks.loader import recordings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = recordings(folder, "flac").manifest
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "label"))
            for number, clip in enumerate(clips):
                assert clip.path is not None
                for copy in range(COPIES):  # other names for one file
                    path = folder / f"{copy}-{Path(clip.path).name}"
                    os.link(folder / clip.path, path)
                    rows.writerow((path.name, number % CLASSES))
        run, options = folder / "run", {"epochs": epochs, "warmup_epochs": 1.0, "valid_ratio": 0.0, "log_interval": 1}
        auricle.finetune(
            folder / "labels.csv", model="mn10_as", initial="random", out=run, quiet=True, batch_size=batch,
            workers=workers, precision="float32", **options,
        )  # fmt: skip
        return float(read_log(run / "metrics.jsonl", "step")[-1]["data_wait"])


def table(found: list[dict[str, Any]], wait: float | None) -> str:
    lines = ["| network | form | clips a second | peak MiB | times the plain loop |", "| --- | --- | --- | --- | --- |"]
    for row in found:
        for form, values in row["forms"].items():
            ratio = f"{row['faster']:.2f}" if form == "auricle" else ""
            speed, peak = f"{values['clips_per_s']:.2f}", f"{values['peak_mib']:.0f}"
            lines.append(
                f"| {row['network']}, {row['precision']}, batch {row['batch']} | {form} | {speed} | {peak} | {ratio} |"
            )
    if wait is not None:
        lines += ["", f"waiting for data, flac, two workers: {wait:.1%}"]
    return "\n".join(lines)


def failures(found: list[dict[str, Any]], wait: float | None) -> list[str]:
    words = [
        f"{row['network']}: {row['faster']:.2f} times the plain loop, expected at least {AT_LEAST[row['network']]}"
        for row in found
        if row["faster"] < AT_LEAST[row["network"]]
    ]
    if wait is not None and wait > MOST_WAIT:
        words.append(f"{wait:.1%} of the time waits for data, expected at most {MOST_WAIT:.0%}")
    return words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    shared = [option for action in parser._actions for option in action.option_strings if option != "--network"]
    parser.add_argument("--networks", nargs="*", default=list(PRECISION), choices=tuple(PRECISION))
    parser.add_argument("--without-data", action="store_true", help="leave out the run from flac")
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args()
    found = [measure(network, args, passed_on(args, shared)) for network in args.networks]
    wait = None if args.without_data else data_wait(workers=2, batch=args.batch)
    print(json.dumps({"steps": found, "data_wait": wait}, indent=2) if args.json else table(found, wait))
    for word in failures(found, wait):
        print(f"out of bounds: {word}", file=sys.stderr)
    return int(bool(failures(found, wait)))


if __name__ == "__main__":
    sys.exit(main())
