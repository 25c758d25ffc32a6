"""Every family, in every format and precision: sizes, errors, times. ``python -m benchmarks.exported.matrix [--families mn]``

Networks of their published sizes: mn04, dymn04, ViT-B for M2D (one chunk of 6.08 s) and MAE-AST (10 s), and the log-mel statistics;
weights are random but for mn04 with ``--shared``. ``any``: a graph of any length and any number of clips, where the format and the
network allow it; ``fixed``: one length, one clip. Errors are the largest of a score (embedding without classes) on two seconds of
noise, in the runtime of the format, from the source in PyTorch; times are of the processor on one thread, the median of rounds over
the source and the graph. Formats whose packages are absent are named and left out. The table is Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

import auricle
from auricle.core.errors import AuricleError, MissingExtra, first_line
from auricle.exporting.description import Description
from auricle.exporting.formats import NAMES, check_installed, write_graph
from auricle.exporting.golden import as_float, golden_clips
from auricle.exporting.graph import Graph, trace
from auricle.exporting.quantization.forms import FORMATS, Form, forms_of
from auricle.exporting.runtimes import MODEL_FILES, ONE_SHAPE, Outputs, Run, open_graph, pieces, replay
from auricle.exporting.source import source_outputs
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.models.log_mel_stats import LogMelStats
from auricle.models.m2d.config import ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.mae_ast.config import MAEASTConfig
from auricle.models.mae_ast.encoder import MAEASTEncoder


@torch.no_grad()
def settled(encoder: auricle.Encoder) -> auricle.Encoder:
    """Batch norms that have seen sound, as after training; fresh ones let the signal of a deep network die away."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average
    wave = 0.1 * torch.randn(4, 64000, generator=torch.Generator().manual_seed(0))
    encoder.train()
    encoder(wave)
    return encoder.eval()


FAMILIES: dict[str, Callable[[], auricle.Encoder]] = {
    "mn": lambda: settled(MN(MNConfig(width=0.4), seed=0)),
    "dymn": lambda: settled(DyMN(DyMNConfig(width=0.4), seed=0)),
    "m2d": lambda: M2DEncoder(ViTConfig("80x608", "16x16"), stats=(-7.0, 4.0), seed=0),
    "mae-ast": lambda: MAEASTEncoder(MAEASTConfig(), seed=0).with_stats(-7.0, 4.0),
    "logmel-stats": LogMelStats,
}
SECONDS = {"mae-ast": 10.0, "mn": 10.0, "dymn": 10.0, "logmel-stats": 10.0, "m2d": None}  # of the graphs of one length
KINDS = ("float16", "int8-weights", "int8-dynamic", "int8-static")
ROUNDS = 5
COLUMNS = (
    "family",
    "format",
    "length",
    "precision",
    "MB",
    "largest error",
    "embedding, of its largest",
    "CPU ms",
    "source",
)


def graphs_of(family: str, encoder: auricle.Encoder, formats: list[str]) -> Iterator[tuple[str, list[str], Graph]]:
    """The traces of an encoder: of any length, and of one; which of them a format takes."""
    flexible = [to for to in formats if to not in ONE_SHAPE]
    single = [to for to in formats if to in ONE_SHAPE]
    try:
        if flexible:
            yield "any", flexible, trace(encoder, length=None, any_length=True, batch_size=None, frames=False)
    except AuricleError:
        print(f"{family}: no graph of any length", file=sys.stderr)
    if flexible:
        yield "fixed", flexible, trace(encoder, length=SECONDS[family], any_length=False, batch_size=1, frames=False)
    if single:
        sizes = {"length": SECONDS[family], "any_length": False, "batch_size": 1, "frames": False}
        yield "fixed", single, trace(encoder, **sizes, one_shape=True)  # type: ignore[arg-type]


def forms(to: str) -> Iterator[Form | None]:
    """float32, and the first known form of each kind of a format."""
    yield None
    for kind in KINDS:
        if kind in FORMATS.get(to, {}):
            yield forms_of(to, kind)[0]


def errors_of(source: Outputs, found: Outputs, description: Description) -> tuple[float, float]:
    """The largest error of a score (of the embedding without classes), and of the embedding as a share of its largest value."""
    apart = np.abs(found["embedding"] - source["embedding"]).max()
    scores = description.heads[0].scores if description.heads else "embedding"
    largest = max(float(np.abs(source["embedding"]).max()), 1e-12)
    return float(np.abs(found[scores] - source[scores]).max()), float(apart) / largest


def milliseconds(calls: list[Callable[[], object]]) -> list[float]:
    """Median processor time of each call, in rounds over them; the first round warms up."""
    rows = []
    for _ in range(ROUNDS + 1):
        row = []
        for call in calls:
            start = time.process_time()
            call()
            row.append(1e3 * (time.process_time() - start))
        rows.append(row)
    return [statistics.median(column) for column in zip(*rows[1:])]


def line(family: str, to: str, length: str, form: Form | None, graph: Graph, encoder: auricle.Encoder) -> str:
    """Write, run and time one graph; what cannot be written is said in its line."""
    head, description = [family, NAMES[to], length, form.kind if form else "float32"], graph.description
    wave = as_float(golden_clips(description.sample_rate)["noise"])
    timed = np.resize(wave, description.samples or 10 * description.sample_rate)
    piece = next(iter(pieces(timed, description)))
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_graph(graph, to, Path(folder), form, [piece.inputs])
            run: Run = open_graph(Path(folder), to, description, threads=1)
            found = replay(run, wave, description)
        except Exception as error:  # a converter or a runtime raises kinds of its own
            return "| " + " | ".join([*head, "", f"not possible: {first_line(error)[:90]}", "", "", ""]) + " |"
        score, embedding = errors_of(source_outputs(encoder, wave, description), found, description)
        size = sum((Path(folder) / name).stat().st_size for name in MODEL_FILES[to])
        ready = encoder.for_inference()
        with torch.inference_mode():
            source, exported = milliseconds([lambda: ready(torch.from_numpy(timed[None])), lambda: run(piece.inputs)])
    cells = [*head, f"{size / 1e6:.2f}", f"{score:.1e}", f"{embedding:.1e}", f"{exported:.0f}", f"{source:.0f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--to", nargs="+", default=["onnx", "openvino", "torch", "litert"], choices=list(NAMES))
    parser.add_argument("--shared", type=Path, default=None, help="folder with weights/mn04_as_mAP_432.pt")
    args = parser.parse_args()
    torch.set_num_threads(1)
    formats = []
    for to in args.to:
        try:
            check_installed(to)
            formats.append(to)
        except MissingExtra as error:
            print(f"left out: {error}", file=sys.stderr)
    print(f"| {' | '.join(COLUMNS)} |", "---".join("|" * (len(COLUMNS) + 1)), sep="\n", flush=True)
    for family in args.families:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoder = FAMILIES[family]()
        if family == "mn" and args.shared:
            encoder = auricle.load("mn04_as", weights=args.shared / "weights/mn04_as_mAP_432.pt")
        encoder = encoder.to("cpu").eval()
        for length, able, graph in graphs_of(family, encoder, formats):
            for to in able:
                for form in forms(to):
                    print(line(family, to, length, form, graph, encoder), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
