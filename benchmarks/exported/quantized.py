"""What do smaller numbers lose? ``python -m benchmarks.exported.quantized [--shared ../shared] [--to onnx openvino]``

The published mn04_as, every known form in ONNX Runtime and OpenVINO, over the 400 clips of ESC-10 (the first 10 s of each) and the
recordings of data/audio: size, agreement of the top class with float32, mean average precision against the ten labels (AudioSet's
classes of the same meaning), accuracy of a logistic probe on the exported embeddings in the five published folds, and processor
time of 5 s, measured in rounds over all forms. int8-static is calibrated on every 13th clip. The table is Markdown.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import auricle
from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import Features
from auricle.evaluation.probes.logistic import Logistic
from auricle.evaluation.splits import Split
from auricle.evaluation.targets import ClassTargets
from auricle.exporting.description import Description
from auricle.exporting.formats import write_graph
from auricle.exporting.golden import Clips, as_float
from auricle.exporting.graph import trace
from auricle.exporting.quantization.clips import calibration_inputs, recordings
from auricle.exporting.quantization.forms import Form, forms_of
from auricle.exporting.quantization.loss import Answers, answers_of, task_loss
from auricle.exporting.runtimes import MODEL_FILES, Run, open_graph, replay

CLASSES = {
    "dog": "Dog",
    "rain": "Rain",
    "sea_waves": "Waves, surf",
    "crying_baby": "Baby cry, infant cry",
    "clock_tick": "Tick-tock",
    "sneezing": "Sneeze",
    "helicopter": "Helicopter",
    "chainsaw": "Chainsaw",
    "rooster": "Crowing, cock-a-doodle-doo",
    "crackling_fire": "Fire",
}
EVERY = 13  # a clip of so many calibrates
ROUNDS = 15
COLUMNS = (
    "runtime", "form", "MB", "top class agrees", "on recordings", "mAP", "mAP lost", "probe", "cosine", "largest score error",
    "CPU ms of 5 s",
)  # fmt: skip
HEADER = "\n".join([f"| {' | '.join(COLUMNS)} |", "---".join("|" * (len(COLUMNS) + 1))])


@dataclass(frozen=True)
class Data:
    """ESC-10 and recordings, at the rate of the encoder."""

    clips: Clips
    recordings: Clips
    targets: np.ndarray
    categories: np.ndarray
    folds: np.ndarray


def read_data(shared: Path, encoder: auricle.Encoder) -> Data:
    folder = shared / "data/esc10"
    with open(folder / "meta.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = recordings([str(folder / "audio" / row["filename"]) for row in rows], encoder)
    assert list(clips) == [row["filename"] for row in rows]
    space = encoder.info.label_spaces[0]
    assert space is not None
    targets = np.zeros((len(rows), len(space)), np.float32)
    for i, row in enumerate(rows):
        targets[i, space.names.index(CLASSES[row["category"]])] = 1
    categories = np.array([sorted(CLASSES).index(row["category"]) for row in rows])
    folds = np.array([int(row["fold"]) for row in rows])
    return Data(clips, recordings([str(shared / "data/audio")], encoder), targets, categories, folds)


def probe(embedding: np.ndarray, data: Data) -> float:
    """Accuracy of a logistic probe over the five folds."""
    values = np.eye(len(CLASSES), dtype=np.float32)[data.categories]
    features, targets = Features(clip=embedding), ClassTargets(tuple(sorted(CLASSES)), values)
    right = 0
    for fold in range(1, 6):
        test = np.flatnonzero(data.folds == fold)
        split = Split(f"fold {fold}", np.flatnonzero(data.folds != fold), np.array([], np.int64), test)
        scores = Logistic().fit_predict(features, targets, split, RandomKey(0))
        right += int((scores.argmax(axis=1) == data.categories[test]).sum())
    return right / len(data.categories)


def processor_times(runs: list[Run], wave: np.ndarray, description: Description) -> list[float]:
    """Median milliseconds of the processor for one clip, in rounds over all graphs."""
    rows = []
    for _ in range(ROUNDS + 2):
        row = []
        for run in runs:
            start = time.process_time()
            replay(run, wave, description)
            row.append(1e3 * (time.process_time() - start))
        rows.append(row)
    return [statistics.median(column) for column in zip(*rows[2:])]


def asked(run: Run, description: Description) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    return lambda wave: replay(run, as_float(wave), description)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with weights/ and data/")
    parser.add_argument("--to", nargs="+", default=["onnx", "openvino"])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    encoder = auricle.load("mn04_as", weights=args.shared / "weights/mn04_as_mAP_432.pt").to("cpu").eval()
    data = read_data(args.shared, encoder)
    graph = trace(encoder, length=None, any_length=True, batch_size=None, frames=False)
    description, lines = graph.description, {}
    calibration = calibration_inputs(dict(list(data.clips.items())[::EVERY]), description)
    runs: list[Run] = []
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        reference: tuple[Answers, Answers] | None = None
        for to in args.to:
            for number, form in enumerate((None, *forms_of(to, "auto"))):
                place = Path(folder) / f"{to}{number}"
                place.mkdir()
                write_graph(graph, to, place, form, calibration)
                run = open_graph(place, to, description, threads=args.threads)
                found = (
                    answers_of(asked(run, description), data.clips, description),
                    answers_of(asked(run, description), data.recordings, description),
                )
                reference = reference or found
                size = sum((place / name).stat().st_size for name in MODEL_FILES[to])
                runs.append(run)
                lines[to, form] = row(to, form, size, reference, found, data)
                print(lines[to, form], flush=True)
        wave = as_float(next(iter(data.clips.values())))[: 5 * description.sample_rate]
        times = processor_times(runs, wave, description)
    print(f"\n{HEADER}")
    for line, milliseconds in zip(lines.values(), times):
        print(f"{line} {milliseconds:.1f} |")
    return 0


def row(
    to: str,
    form: Form | None,
    size: int,
    reference: tuple[Answers, Answers],
    found: tuple[Answers, Answers],
    data: Data,
) -> str:
    """A line of the table, without its last column."""
    loss = task_loss(reference[0], found[0], data.targets, "ESC-10")
    other = task_loss(reference[1], found[1], None, "")
    assert loss.map is not None
    assert loss.map_loss is not None
    error = np.abs(np.subtract(found[0].scores, reference[0].scores)).max()
    cells = [
        to,
        form.name if form else "float32",
        f"{size / 1e6:.2f}",
        f"{100 * loss.top1_agreement:.2f} %",
        f"{round(other.top1_agreement * other.clips)} of {other.clips}",
        f"{loss.map:.4f}",
        f"{loss.map_loss:+.4f}",
        f"{100 * probe(found[0].embedding, data):.2f} %",
        f"{loss.embedding_cosine:.4f}",
        f"{error:.1e}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
