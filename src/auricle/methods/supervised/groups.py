"""Scores of groups of clips: the recordings of a patient, decided together.

See [finetuning 10.3](docs/specification/finetuning.md#s10-3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AuricleError, nearest
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.clips import clip_of
from auricle.methods.supervised.config import LabelConfig
from auricle.metrics import table as metrics
from auricle.metrics.table import Metric
from auricle.models.label_space import LabelSpace


@dataclass(frozen=True)
class Groups:
    """Which clips belong together, and how a group is decided and scored.

    Attributes:
        of: the group of each clip, by id; a clip without an entry is a group of its own.
        priority: class indices: a group has the first of these that any of its clips has. Empty: the class with the largest
            mean of the clips' logits.
        metric: of the groups.
        choose: whether the groups choose the best epoch.
    """

    of: Mapping[str, str]
    priority: tuple[int, ...]
    metric: Metric
    choose: bool

    def decide(self, ids: Sequence[str], logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Join clips to groups.

        Args:
            ids: of the clips.
            logits, labels: (n, C) of the clips.

        Returns:
            Scores and labels of the groups, both (g, C). With priorities the scores are 1 for the decision and 0 else.
        """
        rows: dict[str, list[int]] = defaultdict(list)
        for row, id in enumerate(ids):
            rows[self.of.get(id, f"clip {id}")].append(row)
        decided = np.stack([self._decision(logits[members]) for members in rows.values()])
        return decided, np.stack([labels[members].max(0) for members in rows.values()])

    def _decision(self, logits: np.ndarray) -> np.ndarray:
        """(C,) of the logits (m, C) of a group's clips."""
        if not self.priority:
            return logits.mean(0)
        had = set(logits.argmax(1).tolist())
        chosen = next((index for index in self.priority if index in had), int(logits.mean(0).argmax()))
        return np.eye(logits.shape[1], dtype=logits.dtype)[chosen]

    def scores(self, ids: Sequence[str], logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Return the metric of the groups with its parts, each name with "group_" in front, and the number of groups."""
        decided, truth = self.decide(ids, logits, labels)
        values = {f"group_{name}": value for name, value in self.metric.with_parts(decided, truth).items()}
        return {**values, "groups": float(len(truth))}


def groups_of(parts: Sequence[Manifest], space: LabelSpace, config: LabelConfig, metric: str) -> Groups | None:
    """Return the groups of the scored parts as the settings want them; None where clips alone are scored, or none are.

    Args:
        parts: the clips that are scored.
        space: the classes of the logits.
        config: the settings of the labels.
        metric: name of the metric of clips.

    Raises:
        AuricleError: no clip has a group, one group has several labels of classes that exclude each other, or a priority
            names a class that is none.
    """
    if config.scored_by == "clip" or not parts:
        return None
    known = (*space.ids, *space.names)
    for name in config.priority:
        if name not in known:
            raise AuricleError(f"--priority: there is no class '{name}'{nearest(name, known)}")
    members = {clip_of(clip.id): clip.group for part in parts for clip in part if clip.group is not None}
    if not members:
        raise AuricleError(f"--scored-by {config.scored_by}: no scored clip has a group; name its --group-column")
    if space.kind == "multiclass":
        _check_labels(parts)
    places = {name: index for names in (space.names, space.ids) for index, name in enumerate(names)}
    wanted = metric if config.group_metric == "auto" else config.group_metric
    chosen = metrics.metric(wanted, space.kind).for_classes(space.names)
    priority = tuple(places[name] for name in config.priority)
    return Groups(members, priority, chosen, config.scored_by == "group")


def _check_labels(parts: Sequence[Manifest]) -> None:
    """Raise AuricleError if the clips of one group have different labels."""
    labels: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for clip in part:
            if clip.group is not None and labels.setdefault(clip.group, clip.labels) != clip.labels:
                raise AuricleError(
                    f"--scored-by: the group '{clip.group}' has clips of {' '.join(labels[clip.group])} and of "
                    f"{' '.join(clip.labels)}; a group that is scored has one label"
                )
