"""One pass over recordings that gives scores and embeddings of all windows, and from them the suggestions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.console import progress_bar
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.shards import CLIP, LOGITS
from auricle.detectors.labelled_spans import LabelledSpans
from auricle.detectors.suggestions import (
    RANDOM,
    DoubtfulClips,
    Suggestion,
    comparable,
    doubts_of,
    random_rows,
    varied_rows,
)
from auricle.inference.decisions.calibration import probabilities
from auricle.inference.embedder import Embedder

KEPT_PER_CLIP, KEPT_AT_LEAST = 20, 1000  # embeddings of the most doubtful windows that are held


@dataclass(frozen=True)
class SuggestionChoice:
    """How many clips are chosen, the share of random ones, the similarity of near-duplicates, the seed of the random ones."""

    top_k: int
    random_ratio: float
    near: float
    seed: int


class WindowScan:
    """One pass over all windows: scores of all, and embeddings of the most doubtful, the random and the labelled ones.

    Args:
        windows: a clip each.
        embedder: of a model with classes.
        spans: what is labelled already.
        choice: which clips are chosen.
        asked: indices of the classes to ask about.

    Attributes:
        open_rows: the windows without a label.
        labelled: (n,) bool, the others.
        known_vectors: embeddings of clips that are labelled already; others may be added.
        done: windows that were read.
        failed: {file: error message}.
    """

    def __init__(
        self,
        windows: Manifest,
        embedder: Embedder,
        spans: LabelledSpans,
        choice: SuggestionChoice,
        asked: Sequence[int],
    ):
        space = embedder.info.label_space
        assert space is not None
        self.windows, self.embedder, self.space, self.choice, self.asked = windows, embedder, space, choice, list(asked)
        self.row_of = {clip.id: row for row, clip in enumerate(windows)}
        self.labelled = np.array([_is_covered(spans, windows, clip) for clip in windows], bool)
        self.open_rows = np.flatnonzero(~self.labelled)
        number = round(choice.random_ratio * min(choice.top_k, len(self.open_rows)))
        drawn = random_rows(len(self.open_rows), number, choice.seed)
        self.probability = number / max(1, len(self.open_rows))
        self.random = dict.fromkeys(self.open_rows[drawn].tolist(), np.zeros(0, np.float32))
        self.doubtful = DoubtfulClips(max(KEPT_AT_LEAST, KEPT_PER_CLIP * choice.top_k))
        self.known_vectors: list[np.ndarray] = []
        self.answers: dict[int, tuple[int, float, str]] = {}  # class, score and reason by row
        self.total, self.done = np.zeros(()), 0  # the sum of all vectors, and their number
        self.failed: dict[str, str] = {}

    def run(self, quiet: bool) -> None:
        """Encode all windows."""
        vectors = self.embedder.iterate(self.windows, names=(CLIP, LOGITS))
        for result in progress_bar(vectors, total=len(self.windows), what="suggest", quiet=quiet):
            row = self.row_of[result.id]
            if result.failure:
                self.failed.setdefault(str(self.windows.audio(self.windows.clips[row])), result.failure)
            else:
                self._add(row, result.vectors[CLIP], result.vectors[LOGITS])

    def _add(self, row: int, vector: np.ndarray, logits: np.ndarray) -> None:
        self.total = self.total + vector.astype(np.float64)
        self.done += 1
        if self.labelled[row]:
            self.known_vectors.append(vector)
            return
        scores = probabilities(self.space, logits[None])
        doubt, label, score, reason = (values[0] for values in doubts_of(scores, self.space, self.asked))
        self.answers[row] = (int(label), float(score), str(reason))
        if row in self.random:
            self.random[row] = vector
        else:
            self.doubtful.add(row, float(doubt), vector)

    def chosen(self) -> tuple[Suggestion, ...]:
        """Return the suggestions: doubtful clips that differ, then the random ones."""
        drawn = {row: vector for row, vector in self.random.items() if len(vector)}
        rows, doubts, vectors = self.doubtful.arrays()
        centre = self.total / self.done
        beside = [*drawn.values(), *self.known_vectors]
        others = comparable(np.stack(beside), centre) if beside else None
        units = comparable(vectors, centre) if len(rows) else np.zeros((0, 1), np.float32)
        wanted = min(self.choice.top_k, len(self.open_rows)) - len(drawn)
        picked = varied_rows(doubts, units, wanted, near=self.choice.near, apart_from=others)
        doubtful = [self._suggestion(int(rows[i])) for i in picked]
        return (*doubtful, *(self._suggestion(row, True) for row in sorted(drawn)))

    def _suggestion(self, row: int, drawn: bool = False) -> Suggestion:
        clip = self.windows.clips[row]
        label, score, reason = self.answers[row]
        path = os.path.abspath(self.windows.audio(clip))
        reason, probability = (RANDOM, self.probability) if drawn else (reason, None)
        return Suggestion(path, clip.start, clip.end, self.space.names[label], score, reason, probability)


def _is_covered(spans: LabelledSpans, windows: Manifest, clip: Clip) -> bool:
    """Return True if a window has a label already; a recording whose length is not known is taken to be a minute."""
    start = clip.start or 0.0
    end = clip.end if clip.end is not None else start + (clip.seconds or 60.0)
    return spans.covers(windows.audio(clip), start, end)
