"""Try the smaller forms of one graph, measure what each loses, and keep the one that loses least."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.exporting.description import Description
from auricle.exporting.golden import Clips, as_float
from auricle.exporting.quantization.forms import Form
from auricle.exporting.quantization.loss import Answers, TaskLoss, answers_of, task_loss
from auricle.exporting.runtimes import MODEL_FILES, Outputs, Run, open_graph, replay

WORTH_16_BITS = (
    0.02  # float16 is kept by "auto" only where the best 8-bit form loses more than this (``TaskLoss.total``)
)
NOISE_REPEATS, NOISE = 3, 1e-7  # noise on the input, to measure how far rounding carries
SAFETY_FACTOR = 4.0  # a replay may differ by so many times what the noise changed


@dataclass(frozen=True)
class FormTrial:
    """One form, tried.

    Attributes:
        form: its name.
        bytes: of the model files.
        loss: what it loses; None where it failed.
        milliseconds: of a scored clip, on average over all of them.
        failed: why it cannot be written or run.
    """

    form: str
    bytes: int = 0
    loss: TaskLoss | None = None
    milliseconds: float = 0.0
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def try_forms(
    forms: Sequence[Form],
    write: Callable[[Form, Path], None],
    to: str,
    description: Description,
    scored: Clips,
    judge: Callable[[Answers], TaskLoss],
    folder: Path,
    *,
    threads: int,
) -> list[FormTrial]:
    """Write each form into a folder of its own below ``folder``, named by its number, and measure it.

    Args:
        write: writes the model file of a form into a folder.
        judge: what answers for the scored clips lose.
    """
    trials = []
    for number, form in enumerate(forms):
        place = folder / str(number)
        place.mkdir(parents=True)
        try:
            write(form, place)
            run = open_graph(place, to, description, threads=threads)
            start = time.perf_counter()
            answers = answers_of(partial(_replayed, run, description), scored, description)
            taken = 1e3 * (time.perf_counter() - start) / len(scored)
        except Exception as error:  # a runtime raises kinds of its own for what it cannot run
            if len(forms) == 1:
                raise
            trials.append(FormTrial(form.name, failed=str(error).splitlines()[0][:200] if str(error) else repr(error)))
            continue
        size = sum((place / name).stat().st_size for name in MODEL_FILES[to])
        trials.append(FormTrial(form.name, size, judge(answers), taken))
    return trials


def _replayed(run: Run, description: Description, wave: np.ndarray) -> Outputs:
    return replay(run, as_float(wave), description)


def best(forms: Sequence[Form], trials: Sequence[FormTrial]) -> int:
    """Return the number of the form that loses least, of those in 8 bits unless they lose too much; the smaller wins a tie.

    Raises:
        AuricleError: none could be written.
    """
    rows = [(t.loss.total, t.bytes, i) for i, t in enumerate(trials) if t.loss is not None]
    if not rows:
        reasons = "; ".join(f"{trial.form}: {trial.failed}" for trial in trials)
        raise AuricleError(f"no smaller form could be written; use --quantize none ({reasons})")
    eight = [row for row in rows if forms[row[2]].kind != "float16"]
    chosen = min(eight or rows)
    return min(rows)[2] if chosen[0] > WORTH_16_BITS else chosen[2]


def table(trials: Sequence[FormTrial], chosen: int) -> str:
    """Return the trials as text; * marks the one that is kept."""
    lines = ["   MB     top 1 agrees  mAP lost  cosine   ms/clip  form"]
    for i, trial in enumerate(trials):
        if trial.loss is None:
            lines.append(f"  failed                                             {trial.form}: {trial.failed}")
            continue
        lost = "       -" if trial.loss.map_loss is None else f"{trial.loss.map_loss:8.4f}"
        lines.append(
            f"{'*' if i == chosen else ' '} {trial.bytes / 1e6:6.2f} {100 * trial.loss.top1_agreement:11.1f} %  {lost}"
            f"  {trial.loss.embedding_cosine:.4f} {trial.milliseconds:9.1f}  {trial.form}"
        )
    return "\n".join(lines)


def judged(source: Answers, targets: np.ndarray | None, labels: str) -> Callable[[Answers], TaskLoss]:
    """Return the function that compares answers with those of the source."""
    return lambda answers: task_loss(source, answers, targets, labels)


def replay_spread(run: Run, clips: Clips, description: Description) -> dict[str, float]:
    """Return how far noise of a ten-millionth on the input moves each output: the largest change over clips and repeats.

    Other processors round float32 differently by about as much. Where a value is then quantized to 8 bits, it may fall on the
    next step, which is a hundred thousand times larger; products of integers carry that on.
    """
    random, found = np.random.default_rng(0), dict.fromkeys(description.outputs, 0.0)
    for clip in clips.values():
        wave = as_float(clip)
        before = replay(run, wave, description)
        for _ in range(NOISE_REPEATS):
            noise = random.normal(0, NOISE, len(wave)).astype(np.float32)
            after = replay(run, wave + noise, description)
            for name in found:
                found[name] = max(found[name], float(np.abs(after[name] - before[name]).max(initial=0.0)))
    return found


def replay_tolerances(spread: dict[str, float], tolerances: dict[str, float]) -> dict[str, float]:
    """Return the limits of a replay on another machine: ``SAFETY_FACTOR`` times the spread, never below those of float32."""
    limits = dict(tolerances)
    for name, moved in spread.items():
        kind = name.partition("_")[0]
        limits[kind] = max(limits[kind], SAFETY_FACTOR * moved)
    return limits
