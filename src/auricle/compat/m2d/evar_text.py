"""EVAR's programs for encoders with a text side: ``zeroshot.py CONFIG TASK OPTIONS`` and ``retr_a2t_t2a.py CONFIG TASK OPTIONS``.

No text encoder is part of Auricle: ``--text MODULE:NAME`` names the one to use (``evaluation.text_side``). Scores are added
to ``results/scores.csv`` (``zs_TASK``) and ``results/retrieval_scores.csv`` ([evaluation 4](docs/specification/evaluation.md#s4)).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auricle.compat.lines import LineParser
from auricle.compat.m2d.evar_linear import SCORES, LinearLine, encode_of, encoder_of
from auricle.compat.m2d.evar_options import read_config, with_options
from auricle.compat.m2d.evar_results import append_row
from auricle.compat.m2d.evar_runs import representation, run_id
from auricle.core.errors import AuricleError

ZERO_SHOT = "zeroshot"
RETRIEVAL = ("retr_a2t_t2a", "retrieval")
PROGRAMS = (ZERO_SHOT, *RETRIEVAL)
COLUMNS = {"R@1": "R1", "R@5": "R5", "R@10": "R10", "mAP@10": "mAP10"}


def parse_text(program: str, args: Sequence[str]) -> tuple[LinearLine, str, str | None]:
    """Parse the arguments of a program.

    Returns:
        The line, the name of the text side, and the folder of the data sets (None: where EVAR has them).

    Raises:
        AuricleError: for unknown settings and flags, with the nearest one, and a line without weights or text side.
    """
    parser = LineParser(f"auricle original m2d {program}")
    parser.add_argument("config", help="YAML file: config/m2d_clap.yaml")
    parser.add_argument(
        "task", help="cremad, gtzan, nsynth, esc50, us8k, fsd50k, as; or clotho, audiocaps, ja_audiocaps"
    )
    parser.add_argument("options", nargs="?", default="", help="settings of the file: batch_size=16,weight_file=W")
    parser.add_option("--text", default="", help="MODULE:NAME of the text side (not an option of the original)")
    parser.add_option("--data", help="folder that holds the data sets (not an option of the original)")
    values = parser.parse_args(list(args))
    settings = with_options(read_config(values.config), values.options)
    given = tuple(name for name in ("mean", "std") if f"{name}=" in values.options)
    flags: dict[str, Any] = {"seed": 42, "repeat": 1, "unit_sec": None}
    line = LinearLine(settings, Path(values.config).stem, values.task, flags, None, program, given)
    if not line.weight_file:
        raise AuricleError(f"name the weights: {program}.py config/m2d_clap.yaml TASK weight_file=W")
    if not values.text:
        raise AuricleError(
            f"{program} needs a text encoder, and none is part of Auricle: --text MODULE:NAME names an object with "
            "encode_text(captions), or a class that makes it of the encoder"
        )
    return line, values.text, values.data


def run_text(line: LinearLine, text: str, data: str | None) -> int:
    """Run one call of a program and print its scores. Return 0, or 1 if clips could not be read."""
    from auricle.commands.evaluate import print_problems
    from auricle.commands.keep_scores import ScoreKeeper, writable_store
    from auricle.evaluation.suites.contract import WorkContext
    from auricle.evaluation.suites.read import read_suite

    suite = read_suite("evar-zero-shot" if line.program == ZERO_SHOT else "evar-retrieval").of_tasks([line.task])
    store, note = writable_store(None)
    encoder, statistics = encoder_of(line)
    context = WorkContext(
        encode_of(line), statistics, place=str(Path(line.weight_file).resolve()), quiet=False, data=data, text=text
    )
    (work,) = suite.tasks[0].works(encoder.info, data)
    measured = work.measure(encoder, context)
    print_problems([*([note] if note else []), *ScoreKeeper(store).keep_rows(measured.rows, measured.evaluation)])
    scores = {row.metric: row.score for row in measured.rows}
    if line.program == ZERO_SHOT:
        _write_zero_shot(line, work.task, measured.rows[0].score)
    else:
        _write_retrieval(line, scores)
    print(f"{work.task}: " + ", ".join(f"{name} {value:.5f}" for name, value in scores.items()))
    return 1 if measured.failed else 0


def _write_zero_shot(line: LinearLine, task: str, score: float) -> None:
    report = f"Zero-shot evaluation: {representation(line)} on {line.task} -> {score:.5f}, config {line.config}"
    row = {"representation": representation(line), "task": task, "score": f"{score:.5f}", "run_id": run_id(line)}
    append_row(SCORES, {**row, "report": report})


def _write_retrieval(line: LinearLine, scores: dict[str, float]) -> None:
    """Append a row in per cent, as the original."""
    columns = {
        f"{way}{short}": f"{100 * scores[f'{way}_{name}']:.2f}"
        for way in ("a2t", "t2a")
        for name, short in COLUMNS.items()
    }
    row = {"model": representation(line), "task": line.task, **columns, "weight": line.weight_file}
    append_row(SCORES.parent / "retrieval_scores.csv", row)
