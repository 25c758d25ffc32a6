"""Findings about labels: classes without clips, with few of them or in one part only, and labels that differ in spelling."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from auricle.core.console import listed, number_of
from auricle.data.checks.findings import Finding, FoundClip
from auricle.data.manifest.columns import ListColumn
from auricle.data.manifest.manifest import TRAINING_SPLITS, Manifest

RARE = 5  # clips: with fewer, a class is not in every fold of the usual five
LEAST_LETTERS = 8  # of labels that are compared letter by letter: "clatter" and "chatter" are two words


def label_findings(manifest: Manifest) -> Iterator[Finding]:
    """Yield the findings about the labels of a manifest; none for one without labels."""
    counts = class_counts(manifest)
    if not any(counts.values()):
        return
    empty = [name for name, count in counts.items() if not count]
    if empty:
        yield Finding("empty-class", f"{number_of(len(empty), 'class')}: {listed(empty, 10)}")
    yield from _missing_in_training(manifest)
    pairs = sorted(similar_labels(counts))
    if pairs:
        texts = [f"'{one}' ({counts[one]}) and '{other}' ({counts[other]})" for one, other in pairs]
        yield Finding("similar-labels", listed(texts, 10))
    rare = [f"{name} ({count})" for name, count in counts.items() if 0 < count < RARE]
    if rare:
        yield Finding("rare-class", f"{number_of(len(rare), 'class')} with fewer than {RARE} clips: {listed(rare, 10)}")
    unlabelled = tuple(
        FoundClip(id, "no label")
        for id, labels, events, known in manifest.table.rows("id", "labels", "events", "known")
        if not labels and not events and known is None
    )
    if unlabelled:
        yield Finding("unlabelled", f"{len(unlabelled):,} of {number_of(len(manifest), 'clip')}", unlabelled)


def class_counts(manifest: Manifest) -> dict[str, int]:
    """Return the number of clips of every class, of the class list or, without one, of every label."""
    column = manifest.table.columns.get("labels")
    counts = column.frequencies() if isinstance(column, ListColumn) else {}
    names = manifest.classes or sorted(counts)
    return dict.fromkeys(names, 0) | {name: int(count) for name, count in counts.items()}


def _missing_in_training(manifest: Manifest) -> Iterator[Finding]:
    """A finding on classes of other parts that the training part lacks."""
    training = manifest.in_splits(TRAINING_SPLITS)
    named = manifest.table.where("split", lambda split: bool(split))
    others = named & ~training
    if not training.any() or not others.any():
        return
    taught = set(manifest.table.take(training).distinct("labels"))
    missing = sorted(set(manifest.table.take(others).distinct("labels")) - taught)
    if missing:
        rows = np.flatnonzero(others)
        clips = tuple(
            FoundClip(clip.id, f"{listed(sorted(set(clip.labels) & set(missing)))} in '{clip.split}'")
            for clip in (manifest.table[int(row)] for row in rows)
            if set(clip.labels) & set(missing)
        )
        yield Finding("missing-in-training", f"{number_of(len(missing), 'class')}: {listed(missing, 10)}", clips)


def similar_labels(labels: Iterable[str]) -> set[tuple[str, str]]:
    """Return pairs of labels that differ in capitals, signs, a plural s, or one letter of a long word.

    Example:
        >>> sorted(similar_labels(["Dog bark", "dog_bark", "helicopter", "helicoptor", "class 1", "class 2"]))
        [("Dog bark", "dog_bark"), ("helicopter", "helicoptor")]
    """
    pairs: set[tuple[str, str]] = set()
    plain: dict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        plain[_plain(label)].append(label)
    for same in plain.values():
        pairs |= {(same[0], other) for other in same[1:]}
    shortened: dict[str, list[str]] = defaultdict(list)  # one letter left out: equal for words one letter apart
    for key in plain:
        if len(key) >= LEAST_LETTERS and not any(sign.isdigit() for sign in key):
            for text in {key, *(key[:i] + key[i + 1 :] for i in range(len(key)))}:
                shortened[text].append(key)
    for keys in shortened.values():
        for one, other in ((a, b) for i, a in enumerate(keys) for b in keys[i + 1 :]):
            if _one_letter_apart(one, other):
                first, second = sorted((plain[one][0], plain[other][0]))
                pairs.add((first, second))
    return pairs


def _plain(label: str) -> str:
    """A label without capitals, signs and the plural s of its words."""
    words = re.findall(r"\w+", label.casefold().replace("_", " "))
    return " ".join(word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word for word in words)


def _one_letter_apart(one: str, other: str) -> bool:
    """True for words of which one letter is another one, is left out, or has changed places with the next."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    rest, others = one[start:], other[start:]
    swapped = rest[:2] == others[:2][::-1] and rest[2:] == others[2:]
    return rest[1:] == others[1:] or rest[1:] == others or rest == others[1:] or swapped
