"""How fast is a corpus tagged? ``python -m benchmarks.corpus FOLDER --weights FILE [--rounds N] [--json]``

The recordings of a folder (ESC-10: 400 clips of 5 s) are tagged with mn04_as in a steady state, in interleaved rounds of one run:

- ``plain-N``: soundfile, soxr and plain/efficientat_plain.py, clip after clip in one process on N threads that wait passively;
- ``one``: what ``auricle tag --executor local`` runs;
- ``pool``: what ``auricle tag --executor pool --processes P`` runs.

A round of a form is every recording once. The pool's rounds follow each other: ``LEAD`` answers before the clock starts
replace those that are under way when it stops. Wall time counts; beside other busy processes look at the processor time.
``floor`` is the processor time of one clip on one core by its parts. ``--start`` measures instead what a pool costs before its
first answer. Exit code 1 when a ratio misses its bar.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from auricle.core.devices import available_cores
from auricle.core.executors.base import Executor, LocalExecutor
from auricle.core.executors.pool import PoolExecutor

PLAIN_BAR, POOL_BAR = 3.0, 1.7  # the pool against the better plain form, and against one process
LEAD = 64  # answers of the pool that are not timed, before each of its rounds
MODEL = "mn04_as"
TICKS = os.sysconf("SC_CLK_TCK")


# ---- the forms: each runs in a process of its own, ``python -m benchmarks.corpus --serve FORM …``
def plain_round(args: argparse.Namespace, files: list[Path], threads: int) -> Callable[[], None]:
    """Return a function that tags every recording as a plain loop does."""
    import soundfile
    import soxr
    import torch

    from benchmarks.plain import efficientat_plain

    torch.set_num_threads(threads)
    mel, network = efficientat_plain.LogMel().eval(), efficientat_plain.build("mn04", args.weights)

    @torch.inference_mode()
    def run() -> None:
        for file in files:
            wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
            wave = soxr.resample(wave.mean(1), rate, 32000)
            network(mel(torch.from_numpy(wave)[None]).unsqueeze(1))[0].sigmoid().topk(10)

    return run


def executor_round(args: argparse.Namespace, files: list[Path], executor: Executor, lead: int) -> Callable[[], float]:
    """Return a function that takes the answers of every recording and returns the seconds; the workers stay."""
    from auricle.audio.sources import find_audio
    from auricle.inference.config import EventSettings, TagSettings
    from auricle.inference.corpus.tag_worker import frequent_lengths, lost_recording, make_tag_worker

    sources = find_audio([str(file) for file in files])
    settings = MODEL, args.weights, TagSettings(), EventSettings(), frequent_lengths(sources)
    answers = executor.run(partial(make_tag_worker, *settings), cycle(sources), lost_recording, lambda told: None)

    def run() -> float:
        for _ in islice(answers, lead):
            pass
        began = time.perf_counter()
        for _ in islice(answers, len(files)):
            pass
        return time.perf_counter() - began

    return run


def form_round(form: str, args: argparse.Namespace, files: list[Path]) -> tuple[Callable[[], Any], int]:
    """Return the round of a form, and how many recordings it works on."""
    if form.startswith("plain"):
        return plain_round(args, files, int(form.split("-")[1])), len(files)
    if form == "one":
        return executor_round(args, files, LocalExecutor(repeatable=True), 0), len(files)
    return executor_round(args, files, PoolExecutor(args.processes), LEAD), len(files) + LEAD


def processor_seconds() -> float:
    """Return the processor time of this process and of its pool so far."""
    total = time.process_time()
    for child in active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def serve(form: str, args: argparse.Namespace) -> None:
    """Answer each line of standard input with one round: seconds, and processor seconds per recording."""
    if form == "floor":
        print(json.dumps(floor(args, recordings(args))), flush=True)
        return
    run, worked = form_round(form, args, recordings(args))
    run()  # warm-up: graphs, caches, the files in memory
    for _ in sys.stdin:
        began, before = time.perf_counter(), processor_seconds()
        timed = run()
        seconds = timed if isinstance(timed, float) else time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "processor": (processor_seconds() - before) / worked}), flush=True)


def floor(args: argparse.Namespace, files: list[Path]) -> dict[str, float]:
    """Return the processor milliseconds of one recording on one thread, by parts: least of five passes."""
    import numpy as np
    import soxr
    import torch

    from auricle.audio.decode import read
    from auricle.audio.sources import find_audio
    from auricle.core.devices import tune_allocator
    from auricle.inference.corpus.tag_worker import frequent_lengths
    from auricle.inference.tagger import Tagger

    torch.set_num_threads(1)
    tune_allocator()
    tagger = Tagger(MODEL, weights=args.weights)
    sources = find_audio([str(file) for file in files])
    tagger.fix_graphs(frequent_lengths(sources))
    rate, front = tagger.info.sample_rate, tagger.encoder.front
    native = [read(file) for file in files]
    waves = [torch.from_numpy(np.ascontiguousarray(s.read(rate, front.resampler)))[None] for s in sources]
    with torch.inference_mode():
        groups = [tagger.encoder.frontend(group) for group in scored_together(waves, tagger.together)]
        parts: dict[str, Callable[[], object]] = {
            "decode": lambda: [read(file) for file in files],
            "resample": lambda: [soxr.resample(part.wave, part.rate, rate) for part in native],
            "mel": lambda: [tagger.encoder.frontend(wave) for wave in waves],
            "network": lambda: [tagger.encoder.spec_logits_by_head(spec) for spec in groups],
        }
        found: dict[str, float] = {}
        for name, work in parts.items():
            passes = []
            for _ in range(5):
                began = time.process_time()
                work()
                passes.append(time.process_time() - began)
            found[name] = 1e3 * min(passes) / len(files)
    return found | {"whole": sum(found.values())}


def scored_together(waves: list[Any], together: dict[int, int]) -> Iterator[Any]:
    """Yield batches (B, S) of waves (1, S) as a tagger makes them, for waves of any order."""
    import torch

    for samples in sorted({wave.shape[1] for wave in waves}):
        alike, count = [wave for wave in waves if wave.shape[1] == samples], together.get(samples, 1)
        for start in range(0, len(alike), count):
            group = alike[start : start + count]
            yield torch.cat(group + group[:1] * (count - len(group)))


# ---- the run
def recordings(args: argparse.Namespace) -> list[Path]:
    from auricle.audio.sources import find_audio

    return [source.content for source in find_audio(args.folder) if isinstance(source.content, Path)][: args.most]


class FormProcess:
    """A form in a process of its own, which waits passively between its rounds."""

    def __init__(self, form: str, arguments: list[str], threads: int):
        surroundings = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}
        words = [sys.executable, "-m", "benchmarks.corpus", *arguments, "--serve", form]
        self.process = subprocess.Popen(
            words, env=surroundings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def round(self) -> dict[str, float]:
        """Run one round and return what it cost."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a form ended early (exit {self.process.wait()}); its message stands above")
        return json.loads(line)


def measure(args: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """Run the rounds of all forms by turns and return medians, ratios within a round, and the floor."""
    cores = available_cores()
    threads = {f"plain-{n}": n for n in sorted({1, min(2, cores)})} | {"one": 1, "pool": 1}
    forms = {form: FormProcess(form, arguments, count) for form, count in threads.items()}
    rounds = []
    for number in range(args.rounds):
        rounds.append({form: process.round() for form, process in forms.items()})
        print(f"round {number + 1} of {args.rounds}", end="\r", file=sys.stderr)
    for process in forms.values():
        process.process.communicate()
    words = [sys.executable, "-m", "benchmarks.corpus", *arguments, "--serve", "floor"]
    parts = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    plain = [form for form in forms if form.startswith("plain")]
    middle = statistics.median
    better = min(plain, key=lambda form: middle(r[form]["seconds"] for r in rounds))
    leanest = min(min(r[form]["processor"] for r in rounds) for form in plain)
    return {
        "recordings": len(recordings(args)),
        "processes": args.processes,
        "seconds": {form: middle(r[form]["seconds"] for r in rounds) for form in forms},
        "least_seconds": {form: min(r[form]["seconds"] for r in rounds) for form in forms},
        "processor_ms": {form: 1e3 * min(r[form]["processor"] for r in rounds) for form in forms},
        "better_plain": better,
        "pool_of_plain": middle(r[better]["seconds"] / r["pool"]["seconds"] for r in rounds),
        "pool_of_one": middle(r["one"]["seconds"] / r["pool"]["seconds"] for r in rounds),
        "one_of_plain_processor": leanest / min(r["one"]["processor"] for r in rounds),
        "pool_of_plain_processor": leanest / min(r["pool"]["processor"] for r in rounds),
        "floor_ms": parts,
    }


def start_costs(args: argparse.Namespace) -> dict[str, float]:
    """Return the seconds, and processor seconds, until a new pool gives its first answer."""
    files = recordings(args)[:1]
    began = time.perf_counter()
    times = os.times()
    executor_round(args, files, PoolExecutor(args.processes), 0)()
    seconds, before = time.perf_counter() - began, times.children_user + times.children_system
    for child in active_children():
        child.terminate()
        child.join()
    after = os.times()
    return {"seconds": seconds, "processor": after.children_user + after.children_system - before}


def lines(found: dict[str, Any]) -> Iterator[str]:
    count = found["recordings"]
    yield f"{count} recordings      clips/s  least ms/clip  processor ms/clip"
    for form, seconds in found["seconds"].items():
        least = 1e3 * found["least_seconds"][form] / count
        yield f"{form:20} {count / seconds:8.1f} {least:14.2f} {found['processor_ms'][form]:18.2f}"
    yield (
        f"pool / {found['better_plain']}: {found['pool_of_plain']:.2f} (bar {PLAIN_BAR}); pool / one: "
        f"{found['pool_of_one']:.2f} (bar {POOL_BAR})"
    )
    yield (
        f"by processor time per clip: one {found['one_of_plain_processor']:.2f} times as lean as plain, pool "
        f"{found['pool_of_plain_processor']:.2f}"
    )
    parts = ", ".join(f"{name} {value:.2f}" for name, value in found["floor_ms"].items())
    yield f"floor, processor ms per clip on one core: {parts}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="recordings, such as ESC-10's")
    parser.add_argument("--weights", required=True, help="published weight file of mn04_as")
    parser.add_argument("--processes", type=int, default=available_cores())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--most", type=int, default=None, help="recordings at most, for a trial")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--start", action="store_true", help="measure what a pool costs before its first answer")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args)
        return 0
    if args.start:
        found: dict[str, Any] = start_costs(args)
        print(json.dumps(found) if args.json else f"{found['seconds']:.1f} s, {found['processor']:.1f} processor s")
        return 0
    most = [] if args.most is None else ["--most", str(args.most)]
    found = measure(args, [args.folder, "--weights", args.weights, "--processes", str(args.processes), *most])
    print(json.dumps(found, indent=1) if args.json else "\n".join(lines(found)))
    return int(found["pool_of_plain"] < PLAIN_BAR or found["pool_of_one"] < POOL_BAR)


if __name__ == "__main__":
    sys.exit(main())
