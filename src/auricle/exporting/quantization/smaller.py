"""Write a traced graph in a smaller form: read the clips that it needs, try the forms, keep one, and report what it loses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auricle.exporting.description import Description
from auricle.exporting.golden import Clips, as_float
from auricle.exporting.graph import Graph
from auricle.exporting.quantization.clips import (
    MOST_CALIBRATION,
    NEAREST,
    PSEUDO,
    LossClips,
    calibration_inputs,
    recordings,
    scored_clips,
)
from auricle.exporting.quantization.forms import Form, forms_of
from auricle.exporting.quantization.loss import answers_of
from auricle.exporting.quantization.trials import (
    SAFETY_FACTOR,
    FormTrial,
    best,
    judged,
    replay_spread,
    replay_tolerances,
    table,
    try_forms,
)
from auricle.exporting.runtimes import MODEL_FILES, Inputs, Run, open_graph
from auricle.exporting.source import source_outputs
from auricle.models.base import Encoder

TRIED = ".tried"  # folder of the trials, beside the model that is kept
GOLDEN_ONLY = "golden clips, which are no recordings"
FLOAT32_REPLAY = "the arithmetic is float32, so the limits are those of float32"
INTEGER_REPLAY = (
    "processors round float32 differently, a value may then fall on the next step of 8 bits, and products carry that on; "
    f"the limit is {SAFETY_FACTOR:g} times what noise of a ten-millionth on the input changes here"
)


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        quantize: one of ``forms.CHOICES`` but "none".
        calibrate: recordings that the ranges of activations are fitted on.
        score_on, labels: folder or table that the loss is measured on, and a table of its labels.
        threads: of the runtime.
    """

    quantize: str
    calibrate: Sequence[str]
    score_on: str | None
    labels: str | None
    threads: int


@dataclass(frozen=True)
class SmallerGraph:
    """The graph in the form that was chosen.

    Attributes:
        run: the graph.
        form: its form.
        facts: for ``Certificate.quantized``; trials: all that were tried.
        table: the trials as text; notes: what should be known.
    """

    run: Run
    form: Form
    facts: dict[str, Any]
    trials: tuple[FormTrial, ...]
    table: str
    notes: tuple[str, ...]

    def replay_limits(self, clips: Clips, description: Description, tolerances: dict[str, float]) -> dict[str, float]:
        """Return the limits of a replay elsewhere: those of float32 where the arithmetic is float32, else by measured spread."""
        if self.form.float32_arithmetic:
            return tolerances
        return replay_tolerances(replay_spread(self.run, clips, description), tolerances)


def write_smaller(
    graph: Graph, to: str, folder: Path, source: Encoder, wanted: Wanted, golden: Clips, given: Clips
) -> SmallerGraph:
    """Write the model file of the form that loses least, of those that are asked for.

    Args:
        golden: the golden clips; given: recordings that were given beside them (``--clip``).

    Raises:
        AuricleError: no form can be written, or no recording can be read.
    """
    from auricle.exporting.formats import write_graph

    forms, description = forms_of(to, wanted.quantize), graph.description
    calibration, ranges_of = list[Inputs](), ""
    if any(form.kind == "int8-static" for form in forms):
        clips = recordings(wanted.calibrate, source, MOST_CALIBRATION) or given
        ranges_of = f"{len(clips)} recordings" if clips else GOLDEN_ONLY
        calibration = calibration_inputs(clips or golden, description)
    scored, scored_on = _scored(source, description, wanted, golden, given)
    answers = answers_of(lambda wave: source_outputs(source, as_float(wave), description), scored.clips, description)
    trials = try_forms(
        forms,
        lambda form, place: write_graph(graph, to, place, form, calibration),
        to,
        description,
        scored.clips,
        judged(answers, scored.targets, scored.labels),
        folder / TRIED,
        threads=wanted.threads,
    )
    chosen = best(forms, trials)
    for name in MODEL_FILES[to]:
        os.replace(folder / TRIED / str(chosen) / name, folder / name)
    shutil.rmtree(folder / TRIED)
    form, loss = forms[chosen], trials[chosen].loss
    assert loss is not None
    facts = {
        "form": form.name,
        "loss": asdict(loss),
        "scored_on": scored_on,
        "ranges_of": ranges_of if form.kind == "int8-static" else "",
        "replay": FLOAT32_REPLAY if form.float32_arithmetic else INTEGER_REPLAY,
    }
    run = open_graph(folder, to, description, threads=wanted.threads)
    tried = tuple(trials) if len(trials) > 1 else ()
    return SmallerGraph(
        run, form, facts, tried, table(trials, chosen), (*scored.notes, *_golden_notes(ranges_of, scored_on))
    )


def _golden_notes(ranges_of: str, scored_on: str) -> list[str]:
    """Sentences on what was fitted or measured on the golden clips, for want of recordings."""
    notes = []
    if ranges_of == GOLDEN_ONLY:
        notes.append(f"ranges of activations are fitted on {GOLDEN_ONLY}; give recordings like yours with --calibrate")
    if scored_on == GOLDEN_ONLY:
        notes.append(
            f"the loss is measured on {GOLDEN_ONLY}, and means little; give a folder of recordings with --score-on"
        )
    return notes


def _scored(
    source: Encoder, description: Description, wanted: Wanted, golden: Clips, given: Clips
) -> tuple[LossClips, str]:
    """Return the clips that the loss is measured on, and a phrase that describes them."""
    if wanted.score_on:
        return scored_clips(wanted.score_on, wanted.labels, source, description), f"of {Path(wanted.score_on).name}"
    labels = PSEUDO if description.heads else NEAREST
    clips = given or recordings(wanted.calibrate, source, MOST_CALIBRATION)
    if clips:
        return LossClips(clips, None, labels), "recordings that were given"
    return LossClips(golden, None, labels), GOLDEN_ONLY
