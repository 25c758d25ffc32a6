"""Labels of frames: the objective that learns them, and the scores of the events that it finds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.data.datasets.frame_labels import cut_events
from auricle.data.manifest.clip_table import Clip, Segment
from auricle.methods.base import TrainProgress
from auricle.methods.supervised.clips import clip_of
from auricle.methods.supervised.config import AugmentConfig, LearningConfig
from auricle.methods.supervised.mixing import frame_bce, smoothed
from auricle.methods.supervised.objective import Supervised, View
from auricle.metrics import events
from auricle.metrics.psds import SCENARIOS, detections_of_scores, psds
from auricle.models.base import Encoder

MOST_FOR_PSDS = 20_000  # recordings times classes: some ten seconds, after every epoch


@dataclass(frozen=True)
class WindowPredictions:
    """What the network found in one window of a clip.

    Attributes:
        id: of the window.
        probabilities: (T, C) of the valid frames.
        loss: of the window.
    """

    id: str
    probabilities: np.ndarray
    loss: float


class SupervisedFrames(Supervised):
    """Train an encoder with a head on labels of frames, by binary cross-entropy over the valid frames.

    Args:
        encoder: with a head that gives logits of frames.
        learning, augment, options: as of ``Supervised``.
        windows: the clips that are scored, by id, with their events.
        times: (T,) centres of the frames of a window in seconds from its start.
        seconds: length of a window.
        classes: names of the classes in the events.

    Raises:
        AuricleError: an augmentation would move events in time, or hides frames.
    """

    def __init__(
        self,
        encoder: Encoder,
        learning: LearningConfig,
        augment: AugmentConfig,
        *,
        windows: Mapping[str, Clip],
        times: np.ndarray,
        seconds: float,
        classes: Sequence[str],
        **options: Any,
    ):
        for name in ("resize_crop", "training_mask", "time_roll"):
            if getattr(augment, name):
                flag = name.replace("_", "-")
                raise AuricleError(
                    f"--{flag} moves frames or takes them away, so that their labels fit no more; leave it out with --level frames"
                )
        if learning.loss not in ("auto", "bce"):
            raise AuricleError(f"--level frames learns with the loss bce, not {learning.loss}")
        super().__init__(encoder, learning, augment, **options)
        encoder.trains_frame_logits = True
        self.windows, self.times, self.seconds, self.classes = windows, times, seconds, tuple(classes)
        self.by_class: dict[str, dict[str, float]] = {}  # of the last scored part

    @property
    def scored_kind(self) -> str:
        return "events"

    def clip_shares(self, labels: Tensor | None) -> Tensor | None:
        return None

    def label_loss(self, view: View) -> Tensor:
        logits, labels = self.frame_logits(view), view.batch.frame_labels
        assert labels is not None
        frames = min(logits.shape[1], labels.shape[1])
        labels = labels[:, :frames]
        if self.learning.label_smoothing and self.training:
            labels = smoothed(labels, self.learning.label_smoothing, multiclass=False)
        position = torch.arange(frames, device=logits.device)
        valid = position < view.output.lengths.to(logits.device)[:, None]
        weights = self.class_weights
        assert weights is None or isinstance(weights, Tensor)
        return frame_bce(logits[:, :frames].float(), labels, valid, mask=view.batch.label_mask, weights=weights)

    def frame_logits(self, view: View) -> Tensor:
        """(B, T, C) of the main head."""
        assert view.output.frame_logits is not None, "the head was chosen so that it gives logits of frames"
        return view.output.frame_logits

    def validate(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> Any:
        """Return the scores of every window of a batch."""
        view = self.encode(batch, key)
        losses = self.label_loss(view).float().cpu().tolist()
        probabilities = self.frame_logits(view).float().sigmoid().cpu().numpy()
        return [
            WindowPredictions(id, rows[: int(length)], loss)
            for id, rows, length, loss in zip(batch.ids, probabilities, view.output.lengths, losses)
        ]

    def summarise(self, outputs: list[Any]) -> dict[str, float]:
        """Join the windows of each clip to events; return the loss, the metrics, and how many classes they score."""
        windows = [window for part in outputs for window in part]
        clips: dict[str, list[WindowPredictions]] = defaultdict(list)
        for window in windows:
            clips[clip_of(window.id)].append(window)
        found = [self.found_events(parts) for parts in clips.values()]
        true = [self.true_events(parts) for parts in clips.values()]
        counts = events.segment_counts(found, true)
        self.by_class = events.scores_by_class(found, true)
        self.never_found = tuple(name for name in counts.true if not counts.predicted[name])
        return {
            "loss": float(np.mean([window.loss for window in windows])),
            **{metric.name: metric(found, true) for metric in (self.metric, *self.extra_metrics)},
            "segment_f": counts.f(),
            "event_f": events.event_f(found, true),
            "onset_f": events.onset_f(found, true),
            **self.psds(list(clips.values()), true),
            "classes_scored": float(sum(count > 0 for count in counts.true.values())),
        }

    def class_scores(self) -> dict[str, dict[str, float]]:
        return self.by_class

    def found_events(self, parts: Sequence[WindowPredictions]) -> tuple[Segment, ...]:
        """Return the events of a recording: frames at or above the threshold, joined also over windows that touch."""
        scores, edges = self.frames_of(parts)
        return events.spans_of(scores >= events.FRAME_THRESHOLD, edges, self.classes)

    def frames_of(self, parts: Sequence[WindowPredictions]) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities (T, C) of all frames of a recording, and start and end (T, 2) of each in seconds."""
        ordered = sorted(parts, key=lambda part: self.start_of(part.id))
        edges = [
            self.start_of(part.id) + cells(self.times, self.seconds)[: len(part.probabilities)] for part in ordered
        ]
        return np.concatenate([part.probabilities[: len(self.times)] for part in ordered]), np.concatenate(edges)

    def psds(
        self, recordings: Sequence[Sequence[WindowPredictions]], true: Sequence[Sequence[Segment]]
    ) -> dict[str, float]:
        """Return the polyphonic sound detection score in both scenarios; {} where there is so much that it would take minutes."""
        if len(recordings) * len(self.classes) > MOST_FOR_PSDS:
            return {}
        detections, lengths = [], []
        for parts in recordings:
            scores, edges = self.frames_of(parts)
            detections.append(detections_of_scores(scores, edges, self.classes))
            lengths.append(float((edges[:, 1] - edges[:, 0]).sum()))
        return {name: psds(detections, true, lengths, settings).value for name, settings in SCENARIOS.items()}

    def true_events(self, parts: Sequence[WindowPredictions]) -> tuple[Segment, ...]:
        """Return the events of a recording, cut to the windows that were scored."""
        start = min(self.start_of(part.id) for part in parts)
        end = max(self.start_of(part.id) for part in parts) + self.seconds
        return cut_events(self.windows[parts[0].id].events, start, end)

    def start_of(self, id: str) -> float:
        """Where a window starts in its recording, in seconds."""
        return self.windows[id].start or 0.0


def cells(times: np.ndarray, seconds: float) -> np.ndarray:
    """Return start and end (T, 2) of the part of a window that each frame decides for: halfway to its neighbours' centres.

    Args:
        times: (T,) centres in seconds from the start of the window.
        seconds: length of the window.
    """
    middle = (times[1:] + times[:-1]) / 2
    return np.stack([np.concatenate([[0.0], middle]), np.concatenate([middle, [seconds]])], axis=1)
