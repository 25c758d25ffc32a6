"""Thresholds of a run that learnt labels of frames: fitted to the frames of its validation part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from auricle.core.devices import autocast
from auricle.inference.decisions.calibration import Decisions, background_rows, decision_scores, fit_decisions
from auricle.methods.data import TrainingData
from auricle.methods.supervised.clips import clip_of, group_of
from auricle.methods.supervised.frames import SupervisedFrames, cells
from auricle.metrics import events
from auricle.metrics.classification import truth_of
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.label_space import LabelSpace

if TYPE_CHECKING:
    from auricle.data.manifest.clip_table import Segment
    from auricle.methods.base import TrainProgress
    from auricle.training.loop import Trainer

MOST_FRAMES = 100_000  # that thresholds are fitted to, evenly taken: more change no digit that matters


@dataclass(frozen=True)
class ScoredWindow:
    """The frames of one window of a recording.

    Attributes:
        id: of the recording; group: of the recording.
        start: of the window in the recording, in seconds.
        edges: (T, 2) start and end of each frame in the recording, in seconds.
        logits, targets: (T, C); known: (C,), 0 where a class was not annotated.
        events: of the recording.
    """

    id: str
    group: str
    start: float
    edges: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    known: np.ndarray
    events: tuple[Segment, ...]


@torch.no_grad()
def scored_windows(trainer: Trainer, progress: TrainProgress, data: TrainingData) -> list[ScoredWindow]:
    """Score the frames of a part by the weights that a run of fine-tuning gives."""
    objective = trainer.objective
    assert isinstance(objective, SupervisedFrames)
    objective.eval()
    clips, found = {clip.id: clip for clip in data.dataset.manifest}, []
    spans = cells(objective.times, objective.seconds)
    for batch in data.sample(len(data.dataset)):
        with autocast(trainer.precision, trainer.dist.device):
            view = objective.encode(batch.to(trainer.dist.device), trainer.key(batch))
            logits = objective.frame_logits(view).float().cpu().numpy()
        labels, mask = view.batch.frame_labels, view.batch.label_mask
        assert labels is not None
        targets = labels.cpu().numpy()
        known = np.ones_like(targets[:, 0]) if mask is None else mask.cpu().numpy()
        for row, id in enumerate(batch.ids):
            frames = min(int(view.output.lengths[row]), len(spans), targets.shape[1])
            clip = clips[id]
            start = clip.start or 0.0
            found.append(
                ScoredWindow(
                    clip_of(id), group_of(clip), start, start + spans[:frames], logits[row, :frames],
                    (targets[row, :frames] >= 0.5).astype(np.float32), known[row], objective.windows[id].events,
                )
            )  # fmt: skip
    objective.train()
    return found


def decide_frames(windows: list[ScoredWindow], space: LabelSpace, goal: ThresholdGoal) -> Decisions:
    """Fit calibration and thresholds to frames. Frames of a recording, or of a group of them, are held out together.

    Args:
        windows: of the validation part.
        space: the classes.
        goal: what the thresholds are for, counted in frames.
    """
    logits, targets = (np.concatenate([getattr(w, name) for w in windows]) for name in ("logits", "targets"))
    known = np.concatenate([np.broadcast_to(w.known, w.targets.shape) for w in windows])
    groups = np.concatenate([np.full(len(w.logits), w.group or w.id) for w in windows])
    seconds = np.concatenate([w.edges[:, 1] - w.edges[:, 0] for w in windows])
    share = max(1.0, len(logits) / MOST_FRAMES)
    rows = np.unique((np.arange(min(len(logits), MOST_FRAMES)) * share).astype(np.int64))
    empty = background_rows(space, truth_of(targets[rows], known[rows]))
    return fit_decisions(
        space,
        logits[rows],
        targets[rows],
        known[rows],
        goal=goal,
        hours_of_background=float(seconds[rows][empty].sum()) * share / 3600 or None,
        groups=list(groups[rows]),
        fitted_on=f"{len(rows)} frames of the validation part",
    )


def scores_at(windows: list[ScoredWindow], space: LabelSpace) -> dict[str, float]:
    """Return segment F, event F and onset F of the events that the thresholds of a label space give."""
    recordings: dict[str, list[ScoredWindow]] = {}
    for window in windows:
        recordings.setdefault(window.id, []).append(window)
    found, true = [], []
    thresholds = np.asarray(space.thresholds or (events.FRAME_THRESHOLD,) * len(space), np.float32)
    for parts in recordings.values():
        parts = sorted(parts, key=lambda part: part.start)
        scores = decision_scores(space, np.concatenate([part.logits for part in parts]))
        edges = np.concatenate([part.edges for part in parts])
        found.append(events.spans_of(scores >= thresholds, edges, space.names))
        first, last = edges[0, 0], edges[-1, 1]
        true.append(tuple(e for e in parts[0].events if e.onset < last and e.offset > first))
    functions = {"segment_f": events.segment_f, "event_f": events.event_f, "onset_f": events.onset_f}
    return {name: float(function(found, true)) for name, function in functions.items()}


def describe_frames(decisions: Decisions, scores: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return what ``evaluations/frame-thresholds.json`` holds."""
    values = decisions.to_json()
    calibration = values.pop("calibration")
    return {
        "classes": list(decisions.space.ids),
        "calibration": calibration | {name: values.pop(name) for name in ("ece_before", "ece_after")},
        "thresholds": {
            **values,
            "figures_of": "frames",
            "values": dict(zip(decisions.space.ids, decisions.space.thresholds)),
        },
        "scores_at_thresholds": scores,
    }
