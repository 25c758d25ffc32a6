"""Training curves of one or several runs: loss, learning rate, gradient norm, health, validation, scores during training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.core.options import as_plain
from auricle.methods.registry import read_settings
from auricle.reports.drawing.charts import MOST_POINTS, Line, legend, line_chart
from auricle.reports.drawing.html import percent, section, subsection, text
from auricle.reports.run_view import RunView

# Reference curves: an original program's log, and those shipped for the small preset.

ORIGINAL_NAMES = {"train_loss": "loss", "train_lr": "lr", "train_ema_decay": "ema_decay", "train_rank": "rank"}
SHIPPED = "small_scale.json"


@dataclass(frozen=True)
class Reference:
    """An original program's ``log.txt``: one row per epoch under our names, at the middle of the epoch it averages."""

    name: str
    rows: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Read JSON lines ([m2d 5.4](docs/specification/m2d.md#s5-4)). Raises AuricleError for another file."""
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            renamed = tuple(_renamed(row) for row in rows)
        except OSError as error:
            raise AuricleError(f"the reference {path} cannot be read: {error.strerror}") from None
        except Exception as error:  # any value may have any type, and any depth
            raise AuricleError(
                f"{path} is not an original's log.txt ({content_fault(error)}); "
                "expected one JSON object a line with epoch and train_loss"
            ) from None
        if not renamed:
            raise AuricleError(f"the reference {path} is empty; expected one JSON object a line")
        return cls(f"{path.resolve().parent.name}/{path.name}", renamed)


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """-1 stands for "not measured" in the analysis columns."""
    named = {ours: row[theirs] for theirs, ours in ORIGINAL_NAMES.items() if theirs in row and row[theirs] != -1}
    return {"epoch": float(row["epoch"]) + 0.5, **named}


def shipped_references(runs: Sequence[RunView]) -> list[Reference]:
    """Return the curves of the package, if the first run has the settings they were made with; else [].

    They are means over seeds of ``benchmarks/small_scale`` by weight update. A row is drawn at the epoch in which this run
    made as many updates; the curve ends where the run ends.
    """
    known = json.loads(files(__package__).joinpath(SHIPPED).read_text("utf-8"))
    if not _within(known["settings"], _with_current_names(runs[0].config)):
        return []
    steps = [row for row in runs[0].rows("step") if row.get("step")]
    if not steps:
        return []
    last = steps[-1]["step"]
    epochs = steps[-1]["epoch"] / last
    return [
        Reference(
            curve["name"],
            tuple({"epoch": row["step"] * epochs, **row["values"]} for row in curve["rows"] if row["step"] <= last),
        )
        for curve in known["curves"]
    ]


def _with_current_names(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of an earlier version under the names of this one; unchanged where they are not those of a known method."""
    try:
        return as_plain(read_settings(config, "the configuration"))
    except (AuricleError, TypeError):
        return config


def _within(wanted: dict[str, Any], config: dict[str, Any]) -> bool:
    """Return True if a run's config has all wanted settings."""
    return all(
        _within(value, found) if isinstance(value, dict) and isinstance(found, dict) else found == value
        for name, value in wanted.items()
        for found in [config.get(name)]
    )


TRAINING = {
    "loss": ("Loss", "what training makes small: it should fall, then level off"),
    "lr": ("Learning rate", "size of the steps: up during the warm-up, then down"),
    "ema_decay": ("EMA decay", "weight of the previous target encoder in an update"),
    "grad_norm": ("Gradient norm", "L2 norm before clipping; peaks mean unstable training"),
    "data_wait": ("Waiting for data", "% of the time; the rest is computing"),
    "loss_m2d": ("M2D’s own loss", "before weighting"),
    "loss_matched": ("Distance to the target", "before the reconstruction is added"),
    "loss_rebuilt": ("Reconstruction of hidden patches", "mean squared error, before weighting"),
    "loss_off": ("Loss of the second head", "before weighting"),
    "loss_recon": ("Reconstruction", "mean squared error, in bits as the original logs it"),
    "loss_info_nce": ("Matching (InfoNCE)", "in bits"),
    "accuracy": ("Matching: accuracy", "% of hidden tokens matched among the clip’s others"),
    "masked_ratio": ("Masked", "% of the tokens, measured"),
    "nll_loss": ("Loss per hidden token", "in bits"),
    "ppl": ("Perplexity", "2 to the loss per hidden token"),
}
HEALTH = {
    "target_rank": ("Effective rank of the targets", "directions they fill; near 1 is collapse"),
    "target_clip": ("Targets: same for a whole clip", "% of mean square; near 100 a target only identifies its clip"),
    "target_constant": ("Targets: one constant", "% of mean square; near 100 is collapse"),
    "target_position": ("Targets: same at a position", "% of mean square, whatever the sound"),
    "prediction_cosine": ("Prediction and target", "cosine similarity on hidden patches; 1 is perfect"),
    "rank": ("Rank of the features", "effective rank of the patch tokens"),
}
VALIDATION = {
    "val_loss": ("Validation loss", "on clips that do not train"),
    "val_accuracy": ("Accuracy", "share of the validation clips whose class is right"),
    "val_mAP": ("Mean average precision", "mean over the classes, on the validation part"),
    "test_loss": ("Test loss", "at the end, on the test list"),
}
# Shares of a whole are drawn in per cent on the whole scale: 0.6 % of waiting must not fill the picture.
SHARES = ("data_wait", "accuracy", "masked_ratio", "target_clip", "target_constant", "target_position")
EXPLAINED = (
    "Every curve runs over the epochs of training (one epoch: every clip once). Point at a curve to read its values."
)
SMOOTHED = " A bold curve is the running mean of the faint one behind it."
REFERENCES = (
    " Dashed: reference runs that did well, to compare shapes with. A run on other sounds need not lie on them; a loss that stays "
    "far above them, or does not fall while they do, is a reason to look at the data and the learning rate."
)
HEALTH_EXPLAINED = (
    "Whether there is still something to learn. The method learns to predict targets; if they become the same for everything, the "
    "loss falls and nothing is learnt. Warnings, if any, are listed first."
)
LABELS_EXPLAINED = "What looks wrong in the labels or in the training."
NOT_CURVES = ("kind", "micro_step", "step", "epoch", "warnings", "words", "val_classes_scored")  # "words": earlier logs
NOISY = ("loss", "grad_norm")
WINDOWS = 30  # a noisy curve is averaged over this share of its points
MOST_WARNINGS = 8


def curves_section(runs: Sequence[RunView], references: Sequence[Reference] = ()) -> str:
    """Return the section: training, validation, health and scores; "" when nothing was logged."""
    names = [(run.name, i, False) for i, run in enumerate(runs)]
    names += [(ref.name, len(runs) + i, True) for i, ref in enumerate(references)]
    lead = EXPLAINED + (SMOOTHED if any(len(run.rows("step")) >= 2 * WINDOWS for run in runs) else "")
    lead += REFERENCES if references else ""
    body = legend(names) + _group(TRAINING, "step", runs, references)
    body += subsection("On clips that do not train", _group(VALIDATION, "validation", runs, ()))
    health = _group(HEALTH, "health", runs, references)
    explained = HEALTH_EXPLAINED if any(run.predicts for run in runs) else LABELS_EXPLAINED
    body += subsection("Health", health_summary(runs) + health, text(explained))
    body += subsection("Scores during training", _group({}, "evaluation", runs, ()))
    return section("training", "Training", body if any(run.log for run in runs) or references else "", text(lead))


def _group(
    known: dict[str, tuple[str, str]], kind: str, runs: Sequence[RunView], references: Sequence[Reference]
) -> str:
    """One chart per quantity that some run logged under ``kind``, the known ones first."""
    logged = [run.rows(kind) for run in runs]
    present = {key for rows in [*logged, *(r.rows for r in references)] for row in rows for key in _numbers(row)}
    order = [key for key in known if key in present] + sorted(
        key for rows in logged for key in {k for row in rows for k in _numbers(row)} - known.keys()
    )
    charts = [_chart(key, known.get(key, (key, "")), logged, runs, references) for key in dict.fromkeys(order)]
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _chart(
    key: str,
    title: tuple[str, str],
    logged: Sequence[Sequence[dict[str, Any]]],
    runs: Sequence[RunView],
    references: Sequence[Reference],
) -> str:
    lines = [line for i, rows in enumerate(logged) for line in _lines(key, rows, runs[i].name, i)]
    lines += [
        line for i, ref in enumerate(references) for line in _lines(key, ref.rows, ref.name, len(runs) + i, dashed=True)
    ]
    return line_chart(title[0], lines, note=title[1], y_range=(0.0, 100.0) if key in SHARES else None)


def _lines(key: str, rows: Iterable[dict[str, Any]], name: str, colour: int, *, dashed: bool = False) -> list[Line]:
    """The curve; a noisy one as its running mean in front of the faint raw values."""
    pairs = [(float(row.get("epoch", 0)), float(row[key])) for row in rows if key in _numbers(row)]
    if not pairs:
        return []
    x, y = np.array(pairs, dtype=float).T
    y = 100 * y if key in SHARES else y
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]  # a norm is infinite where fp16 overflowed
    if not len(x):
        return []
    raw = Line(name, *thinned(x, y), colour, dashed)
    if key not in NOISY or dashed or len(x) < 2 * WINDOWS:
        return [raw]
    mean = Line(name, *thinned(x, running_mean(y, len(y) // WINDOWS)), colour)
    return [Line(name, raw.x, raw.y, colour, faint=True), mean]


def thinned(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    """Reduce a curve to at most ``most`` points, each the mean of neighbours."""
    parts = min(len(x), most)
    return [float(p.mean()) for p in np.array_split(x, parts)], [float(p.mean()) for p in np.array_split(y, parts)]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean over a centred window that shrinks at both ends."""
    half = max(1, window // 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = (at - half).clip(0), (at + half + 1).clip(max=len(values))
    return (total[last] - total[first]) / (last - first)


def _numbers(row: dict[str, Any]) -> set[str]:
    return {
        k for k, v in row.items() if k not in NOT_CURVES and isinstance(v, (int, float)) and not isinstance(v, bool)
    }


def health_summary(runs: Sequence[RunView]) -> str:
    """Return the state at the end, a paragraph per run, then the warnings with their epochs."""
    return "".join(_health_of(run, named=len(runs) > 1) for run in runs)


def _health_of(run: RunView, named: bool) -> str:
    rows = run.rows("health")
    measured = [row for row in rows if _numbers(row)]
    messages = [
        f"epoch {row.get('epoch', 0):.1f}: {message}"
        for row in rows
        for message in row.get("warnings", row.get("words", ()))
    ]
    name = f"<b>{text(run.name)}.</b> " if named else ""
    state = f'<p class="lead">{name}{text(health_sentences(measured[-1]))}</p>' if measured else ""
    rest = len(messages) - MOST_WARNINGS
    more = [f"and {rest} more warnings in metrics.jsonl"] if rest > 0 else []
    warnings = "".join(f"<li>{text(line)}</li>" for line in [*messages[:MOST_WARNINGS], *more])
    return state + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")


def health_sentences(row: dict[str, Any]) -> str:
    """Write the last health check as sentences."""
    sentences = []
    if "target_rank" in row:
        sentences.append(f"At the last check the targets filled {row['target_rank']:.1f} effective directions.")
    shares = {
        "the same for a whole clip": "target_clip",
        "one constant": "target_constant",
        "fixed by position": "target_position",
    }
    present = [f"{percent(row[key], 0)}\u00a0% was {what}" for what, key in shares.items() if key in row]
    if present:
        sentences.append(f"Of their mean square {', '.join(present)}: the higher, the less there is to learn.")
    if "prediction_cosine" in row:
        sentences.append(
            f"Predictions had a cosine similarity with them of {row['prediction_cosine']:.2f} (1 is perfect)."
        )
    return " ".join(sentences)
