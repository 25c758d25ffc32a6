"""The simulated plan as rows of plain values, kept in ``results.json``: tables and figures are made from it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.scale_plan import assumptions, plan
from benchmarks.scale_plan.assumptions import AUDIOSET, HOUR, MILLION_HOURS
from benchmarks.scale_plan.plan import Costs, TagPoint, TrainPoint

RESULTS = Path(__file__).with_name("results.json")
SHOWN_FORMS = ("log-mel", "FLAC", "MP3")
RUNS = ((AUDIOSET, 2048), (AUDIOSET, 32768), (MILLION_HOURS, 32768))  # corpora and crops of an update
REFERENCE = (("AudioSet, 64 GPUs", AUDIOSET, 2048, 8), ("1 M hours, 256 GPUs", MILLION_HOURS, 32768, 32))
SHARD_HOURS, SWEPT_WORKERS = 32, 1024  # of the jobs on growing numbers of workers; workers of the sweep over shards


def train_row(point: TrainPoint) -> dict[str, Any]:
    step, run = point.step, point.run
    return {
        "corpus": point.corpus.name,
        "form": point.form,
        "batch": point.batch,
        "gpus": point.gpus,
        "ms": 1e3 * step.seconds,
        "device_ms": 1e3 * point.device,
        "waiting_ms": 1e3 * step.waiting,
        "straggling_ms": 1e3 * step.straggling,
        "exchange_ms": 1e3 * step.exchange,
        "cores": step.cores,
        "storage": step.storage,
        "link": step.link,
        "hours": run.seconds / HOUR,
        "work_hours": run.work / HOUR,
        "lost_hours": (run.lost + run.noticing) / HOUR,
        "failures": run.failures,
        "gpu_hours": point.gpu_hours,
        "dollars": point.dollars,
        "limit": point.limit,
    }


def tag_row(point: TagPoint) -> dict[str, Any]:
    run = point.run
    return {
        "kind": point.kind,
        "workers": point.workers,
        "shard_hours": point.shard_hours,
        "hours": run.seconds / HOUR,
        "worker_hours": point.worker_hours,
        "dollars": point.dollars,
        "computing": run.computed / (point.workers * run.seconds),
        "lost_hours": run.lost / HOUR,
        "tail_hours": run.tail / HOUR,
        "deaths": run.deaths,
        "storage": run.storage,
    }


def simulate() -> None:
    """Simulate the whole plan and write ``results.json``; takes some minutes."""
    costs = Costs.measured()
    found = {"costs": asdict(costs), **simulate_training(costs), **simulate_tagging(costs)}
    RESULTS.write_text(json.dumps(_rounded(found), indent=0) + "\n", encoding="utf-8")


def simulate_training(costs: Costs) -> dict[str, Any]:
    """Simulate pre-training on growing numbers of machines, and with one assumption changed at a time."""
    rows = []
    for corpus, batch in RUNS:
        for form in SHOWN_FORMS:
            for nodes in assumptions.NODES:
                rows.append(train_row(plan.train_point(costs, corpus, form, batch, nodes)))
                print(f"{corpus.name}, {batch} crops, {form}, {nodes} machines", file=sys.stderr)
    changes = {}
    for name, corpus, batch, nodes in REFERENCE:
        points = plan.sensitivity(costs, corpus, "FLAC", batch, nodes)
        changes[name] = [{"changed": changed, **train_row(point)} for changed, point in points]
    return {"train": rows, "sensitivity": changes}


def simulate_tagging(costs: Costs) -> dict[str, Any]:
    """Simulate tagging with growing numbers of workers, and with shards of growing size."""
    workers = [tag_row(point) for point in plan.tag_points(costs, SHARD_HOURS)]
    sweep = plan.shard_sweep(costs, SWEPT_WORKERS)
    return {"tag": workers, "shards": {kind: [tag_row(point) for point in points] for kind, points in sweep.items()}}


def _rounded(value: Any) -> Any:
    """Four digits are enough for a table, and make a small file."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def results() -> dict[str, Any]:
    """Return what ``simulate`` wrote."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))
