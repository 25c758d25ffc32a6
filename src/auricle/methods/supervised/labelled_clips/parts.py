"""The clips that are learnt, validated and tested, and how a manifest is split into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS, Manifest, draw_folds
from auricle.methods.supervised.clips import group_of
from auricle.methods.supervised.config import FinetuneConfig


class Parts(NamedTuple):
    """Clips to train on, to validate on and to test on.

    Attributes:
        train, valid, test: the clips.
        left_out: clips whose files cannot be opened.
        seconds: length of training clips where recordings were cut into windows; None: as the clips are long.
        origin: how the parts were made, for people.
        notes: what was done with the recordings, for people.
    """

    train: Manifest
    valid: Manifest | None
    test: Manifest | None
    left_out: int = 0
    seconds: float | None = None
    origin: str = ""
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> dict[str, Manifest]:
        """The parts that have clips, by name."""
        named = {"train": self.train, "validation": self.valid, "test": self.test}
        return {name: part for name, part in named.items() if part is not None and len(part)}

    def with_part(self, name: str, clips: Manifest) -> Parts:
        """Return the parts with other clips in one of them: train, valid (or validation) or test."""
        if name == "train":
            return self._replace(train=clips)
        return self._replace(test=clips) if name == "test" else self._replace(valid=clips)

    def mapped(self, change: Callable[[Manifest], Manifest]) -> Parts:
        """Return the parts with a function applied to the clips of each."""
        valid, test = (None if part is None else change(part) for part in (self.valid, self.test))
        return self._replace(train=change(self.train), valid=valid, test=test)


def split_parts(manifest: Manifest, config: FinetuneConfig) -> Parts:
    """Return the clips to train on, to validate on and to test on.

    The test part is the fold of the settings, or the clips whose split is called test; the validation part is the split
    of that name, or drawn from the training part: stratified, with groups kept together.
    """
    fold = config.data.fold
    every_fold = fold == "all"
    if every_fold and getattr(config.detector, "how", "full") == "full":
        raise AuricleError(
            "--fold all tests frozen heads; training a whole network (--how full) takes one --fold at a time"
        )
    if fold == "all":
        fold = None
    train, valid, test = map(manifest.in_splits, (("", *TRAINING_SPLITS), VALIDATION_SPLITS, TEST_SPLITS))
    if fold is not None:
        folds = manifest.table.numbers("fold")
        if fold not in folds:
            known = ", ".join(map(str, sorted({int(number) for number in folds if number >= 0})))
            has = (
                f"has the folds {known}"
                if known
                else "has no folds; add a column fold to its table, or leave --fold out"
            )
            raise AuricleError(f"--fold {fold}: {config.source} {has}")
        test, train, valid = folds == fold, folds != fold, np.zeros(len(folds), bool)
    if config.data.validate_on == "test":
        if not test.any() and config.test is None:
            raise AuricleError(f"--validate-on test: {config.source} has no test part; leave it out, or name a --fold")
        train, valid = train | (valid if fold is None else False), test
    if not train.any():
        present = sorted({(clip.split or "").lower() for clip in manifest})
        raise AuricleError(f"{config.source} has no clips to learn from: its splits are {', '.join(present)}")
    drawn_here = not valid.any() and config.valid is None and bool(config.data.valid_ratio)
    if drawn_here:
        valid = drawn_validation(manifest, train, config)
        train, drawn_here = train & ~valid, bool(valid.any())
    classes = manifest.classes
    whole, drawn, held = (
        replace(manifest, clips=manifest.table.take(rows), classes=classes) for rows in (train, valid, test)
    )
    origin = origin_of(
        manifest, "all" if every_fold else fold, drawn_here=drawn_here, groups="group" in whole.table.columns
    )
    return Parts(whole, drawn if len(drawn) else None, held if len(held) else None, origin=origin)


def origin_of(manifest: Manifest, fold: int | Literal["all"] | None, *, drawn_here: bool, groups: bool) -> str:
    """Return how the parts were made, for people."""
    by = "no column split or fold" if fold is None else f"fold {fold} is tested"
    if fold == "all":
        by = "every fold is tested by heads that did not learn it; then all clips are learnt"
    if fold is None and "fold" in manifest.table.columns:
        numbers = sorted(number for number in manifest.table.distinct("fold") if number is not None)
        by = f"the data have {len(numbers)} folds, of which --fold tests one"
    if fold is None and "split" in manifest.table.columns:
        names = sorted(name for name in manifest.table.distinct("split") if name)
        by = f"parts by the splits of the data ({', '.join(names)})"
    if not drawn_here:
        return by
    whole = (
        "groups stay whole"
        if groups
        else "clip by clip: without groups, clips of one recording or speaker may be in both"
    )
    return f"{by}; the validation part is drawn, classes in equal shares, {whole}"


def drawn_validation(manifest: Manifest, train: np.ndarray, config: FinetuneConfig) -> np.ndarray:
    """Draw the validation part of the training rows (mask over all clips). Empty where there are too few clips."""
    rows = np.flatnonzero(train)
    clips = [manifest.clips[int(row)] for row in rows]
    folds = round(1 / config.data.valid_ratio)
    groups = [group_of(clip) for clip in clips]
    chosen = np.zeros(len(manifest), bool)
    if folds < 2 or len(set(groups)) < folds:
        return chosen
    names = sorted({label for clip in clips for label in clip.labels})
    index = {name: i for i, name in enumerate(names)}
    values = np.zeros((len(clips), len(names)), np.uint8)
    for row, clip in enumerate(clips):
        values[row, [index[label] for label in clip.labels]] = 1.0
    drawn = np.array(draw_folds(values, groups, folds, config.train.seed))
    chosen[rows[drawn == "1"]] = True
    return chosen
