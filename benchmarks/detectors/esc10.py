"""ESC-10 from its audio, with an empty cache: how accurate is what ``auricle finetune`` makes, and how long does it take?"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from auricle.detectors.files import load_scores
from benchmarks.detectors.clips import Place, accuracy
from benchmarks.detectors.results import Results
from benchmarks.detectors.settings import MODEL


def measure(place: Place, results: Results, threads: int, note: str) -> None:
    """Run the command in a process of its own; ``note`` says what else ran on the machine."""
    data, number = place.shared / "data/esc10", len(results.of(part="esc10")) + 1
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [
            sys.executable, "-m", "auricle", "finetune", str(data / "audio"), "--labels", str(data / "meta.csv"), "--model", MODEL,
            "--weights", str(place.weights), "--how", "auto", "--fold", "all", "--out", str(run), "--quiet",
        ]  # fmt: skip
        own = {"AURICLE_CACHE": str(Path(folder) / "cache"), "OMP_NUM_THREADS": str(threads)}
        before, started = processor_seconds(), time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | own, stdout=subprocess.DEVNULL)
        seconds, used = time.perf_counter() - started, processor_seconds() - before
        described = json.loads((run / "evaluations/detector.json").read_text(encoding="utf-8"))
        (test,) = [part for part in load_scores(run) if part.part == "test"]
        manifest = place.manifest("ESC-10")
        places = {clip.id: clip.fold for clip in manifest}
        folds = np.array([places[id] for id in test.ids])
        by_fold = [accuracy(test.logits[folds == fold], test.targets[folds == fold]) for fold in range(1, 6)]
    results.add(
        part="esc10", number=number, accuracy=accuracy(test.logits, test.targets), folds=by_fold, head=described["head"],
        seconds=seconds, processor_seconds=used, threads=threads, note=note,
    )  # fmt: skip


def processor_seconds() -> float:
    """Of finished children: in programs and in the kernel."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
