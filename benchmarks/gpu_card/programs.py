"""Parts of ``benchmarks.gpu_card`` that are programs of their own: training steps of every method, tagging with decoding."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from auricle.hub.load import load_untrained
from auricle.inference.tagger import Tagger
from benchmarks.gpu_card.settings import Sizes
from benchmarks.pretrain_methods import METHODS

Row = dict[str, Any]
LIMIT_S = 240.0  # of one benchmark
TAGGERS = ("mn04_as", "mn10_as")
PRECISIONS = ("float32", "bf16")


def answer_of(module: str, *words: str) -> tuple[dict[str, Any], str]:
    """What a benchmark prints with ``--json``, and its complaints; it may end with 1 when a figure leaves its bounds."""
    command = [sys.executable, "-m", f"benchmarks.{module}", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if not done.stdout.strip():
        raise RuntimeError(f"benchmarks.{module} gave no answer (exit {done.returncode}): {done.stderr[-500:]}")
    bounds = [line for line in done.stderr.splitlines() if line.startswith("out of bounds")]
    return json.loads(done.stdout), "; ".join(bounds)


def pretraining(method: str) -> Callable[[Sizes], list[Row]]:
    """Steps of a method of the M2D family: ours in bf16, plain with TF32 and in bf16, and a matrix product beside them."""
    return lambda sizes: _steps("pretrain_step", sizes, "--method", method)


def compiled_pretraining(sizes: Sizes) -> list[Row]:
    """M2D's steps compiled; the losses must stay those of the plain form."""
    return _steps("pretrain_step", sizes, "--method", "m2d", "--compile", "--without", "plain float32")


def mae_ast(sizes: Sizes) -> list[Row]:
    return _steps("pretrain_step_mae_ast", sizes)


def _steps(module: str, sizes: Sizes, *words: str) -> list[Row]:
    options = ["--device", sizes.device, "--batch", str(sizes.batch), "--rounds", str(sizes.rounds), *words]
    found, bounds = answer_of(module, *options)
    share = {"auricle": found["share_of_peak"]}
    return [
        {
            "form": form, "clips_per_s": sizes.batch / values["median_s"], "peak_mib": values["peak_mib"],
            "utilisation": share.get(form), "loss_apart": found.get("loss_apart") if form == "auricle" else None,
            "out_of_bounds": bounds or None,
        }
        for form, values in found["forms"].items()
        if form != "matmul"
    ]  # fmt: skip


def finetuning(sizes: Sizes) -> list[Row]:
    """Steps with labels: MN of width 1.0, and ViT-B where networks have their published sizes."""
    networks = ["mn10"] if sizes.tiny else ["mn10", "vitb"]
    options = ["--device", sizes.device, "--batch", str(sizes.batch), "--rounds", str(sizes.rounds), "--without-data"]
    found, bounds = answer_of("finetune_step", *options, "--networks", *networks)
    return [
        {
            "network": row["network"],
            "form": form,
            "precision": row["precision"],
            **values,
            "out_of_bounds": bounds or None,
        }
        for row in found["steps"]
        for form, values in row["forms"].items()
    ]


def tagging(sizes: Sizes) -> list[Row]:
    """Recordings per second from flac files at 44.1 kHz to labels; the first pass warms up, and its answers are compared."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        paths = recordings(Path(name), sizes)
        for model in TAGGERS:
            answers = {}
            for precision in PRECISIONS:
                tagger = Tagger(load_untrained(model), device=sizes.device, precision=precision, batch_size=sizes.batch)
                tagger(paths)
                start = time.perf_counter()
                tags = tagger(paths)
                rate = len(paths) / (time.perf_counter() - start)
                answers[precision] = [result.tags[0].label for result in tags.results]
                same = float(np.mean([a == b for a, b in zip(answers["float32"], answers[precision])]))
                row = {"model": model, "precision": precision, "recordings_per_s": rate, "failed": len(tags.failed)}
                rows.append({**row, "same_first_label": same})
    return rows


def recordings(folder: Path, sizes: Sizes) -> list[Path]:
    """Noise in flac files of one length; one in eight is written, the others are copies under other names."""
    source, paths = np.random.Generator(np.random.Philox(key=5)), []
    for i in range(sizes.files):
        path = folder / f"{i}.flac"
        if i % 8 == 0:
            soundfile.write(path, 0.1 * source.normal(size=round(44100 * sizes.seconds)), 44100)
            written = path.read_bytes()
        else:
            path.write_bytes(written)
        paths.append(path)
    return paths


TRAINING = {
    **{f"train {method}": pretraining(method) for method in METHODS},
    "train m2d compiled": compiled_pretraining,
    "train mae-ast": mae_ast,
}
