"""The clips of SUPERB's tasks: what is to be predicted of each, and which of them train, validate and test. No PyTorch here.

Source: [evaluation 6.4](docs/specification/evaluation.md#s6-4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS, Clip, Manifest
from auricle.evaluation.splits import Split, make_splits, split_notes
from auricle.evaluation.targets import ClassTargets

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
NOISE = "_background_noise_"
SLOTS = ("action", "object", "location")
NOISE_SPLITS = {"valid": VALIDATION_SPLITS, "test": TEST_SPLITS}
NOISE_PARTS = {8: "valid", 9: "test"}  # of ten seconds of noise in a row
VALID_SHARE = 0.1  # of a training part without a validation part
VALID_SEED = 0


@dataclass(frozen=True)
class TaskClips:
    """The clips of a task.

    Attributes:
        clips: The clips.
        splits: Their rows.
        targets: (n,) of integers per clip: a class per slot, or tokens.
        names: Names of the classes of every slot; of the tokens.
        trials: (first row, second row, 1 for the same speaker), for verification.
        notes: What weakens the score.
    """

    clips: Manifest
    splits: list[Split]
    targets: list[np.ndarray]
    names: tuple[tuple[str, ...], ...]
    trials: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """(n, C) of 0 and 1: the classes of all slots side by side; the tokens that occur."""
        offsets = np.cumsum([0, *map(len, self.names)])
        one_slot = len(self.names) == 1
        values = np.zeros((len(self.targets), offsets[-1]), np.float32)
        for row, target in enumerate(self.targets):
            values[row, target if one_slot else target + offsets[:-1]] = 1
        return values


def keyword_clips(clips: Manifest, words: Sequence[str], noise: Manifest | None, split_by: str) -> TaskClips:
    """Make the 12 classes of keyword spotting: ten words, any other word, silence.

    Args:
        clips: Recordings of words. The labels of unknown words and silence in the official test archive are known.
        words: The words.
        noise: Recordings of noise, cut into seconds of silence: of ten in a row eight train, one validates, one tests.
        split_by: How the clips are split (``make_splits``).
    """
    known = {*words, UNKNOWN, SILENCE}
    rows = [replace(c, labels=((label if label in known else UNKNOWN),)) for c in clips for label in c.labels[:1]]
    held_out = {name for name, parts in NOISE_SPLITS.items() if any((c.split or "").lower() in parts for c in rows)}
    if any(c.labels == (SILENCE,) and (c.split or "").lower() in TEST_SPLITS for c in rows):
        held_out.discard("test")  # the official test archive has silence of its own
    rows += [] if noise is None else _silences(noise, held_out)
    classes = (*words, UNKNOWN, SILENCE)
    present = {c.labels[0] for c in rows}
    lacking = [name for name in classes if name not in present]
    notes = (f"no clip of {', '.join(lacking)}",) if lacking else ()
    return _classified(
        replace(clips, clips=rows, classes=classes), [[c.labels[0]] for c in rows], (classes,), split_by, notes
    )


def _silences(noise: Manifest, held_out: set[str]) -> list[Clip]:
    """Seconds of noise as clips; those that would validate or test train where ``held_out`` lacks the part."""
    from auricle.audio.sources import AudioSource

    found = list[Clip]()
    for clip in noise:
        path = noise.audio(clip).resolve()
        for second in range(int(AudioSource(clip.id, path).length())):
            part = NOISE_PARTS.get(len(found) % 10, "train")
            name = f"{SILENCE} {clip.id} {second}"
            own = part if part in held_out else "train"
            found.append(Clip(name, str(path), start=second, end=second + 1, labels=(SILENCE,), split=own))
    return found


def labelled_clips(clips: Manifest, split_by: str) -> TaskClips:
    """Make a task with one label per clip: speakers (SID), emotions (ER)."""
    rows = [c for c in clips if len(c.labels) == 1]
    if not rows:
        raise AuricleError("no clip has exactly one label; name the column of the labels (label_column)")
    notes = (
        (f"{len(clips) - len(rows)} clips without exactly one label are left out",) if len(rows) < len(clips) else ()
    )
    classes = tuple(sorted({c.labels[0] for c in rows}))
    kept = replace(clips, clips=rows, classes=None)
    return _classified(kept, [[c.labels[0]] for c in rows], (classes,), split_by, notes)


def slot_clips(clips: Manifest, split_by: str) -> TaskClips:
    """Make a task of several slots per clip, from labels ``action=activate``, ``object=lights``, ``location=none``."""
    rows, values, left = [], list[list[str]](), 0
    for clip in clips:
        found = dict(label.split("=", 1) for label in clip.labels if "=" in label)
        if all(name in found for name in SLOTS):
            rows.append(clip)
            values.append([found[name] for name in SLOTS])
        else:
            left += 1
    if not rows:
        raise AuricleError(f"no clip has the labels {', '.join(f'{name}=…' for name in SLOTS)}")
    names = tuple(tuple(sorted({value[i] for value in values})) for i in range(len(SLOTS)))
    notes = (f"{left} clips without all of {', '.join(SLOTS)} are left out",) if left else ()
    return _classified(replace(clips, clips=rows, classes=None), values, names, split_by, notes)


def _classified(
    clips: Manifest,
    labels: Sequence[Sequence[str]],
    names: tuple[tuple[str, ...], ...],
    split_by: str,
    notes: tuple[str, ...],
) -> TaskClips:
    places = [{name: i for i, name in enumerate(slot)} for slot in names]
    targets = [np.array([place[label] for place, label in zip(places, row)]) for row in labels]
    task = TaskClips(clips, [], targets, names, notes=notes)
    classes = [value if len(names) == 1 else f"{slot}={value}" for slot, own in zip(SLOTS, names) for value in own]
    present = np.asarray(task.labels.any(0))
    known = tuple(name for name, there in zip(classes, present) if there)
    found = ClassTargets(known, task.labels[:, present], multilabel=True, metric="mAP")
    splits = make_splits(clips, found, split_by)
    weak = split_notes(clips, found, splits)
    return replace(task, splits=[_with_validation(split) for split in splits], notes=(*notes, *weak))


def _with_validation(split: Split, share: float | None = None) -> Split:
    """The split with a validation part: 20 % of the training part of a fold, as SUPERB draws it (``torch`` seed 0), else 10 %."""
    if len(split.valid):
        return split
    import torch

    share = share or (0.2 if split.name.startswith(("fold", "group")) else VALID_SHARE)
    count = len(split.train) - int(share * len(split.train))
    order = torch.randperm(len(split.train), generator=torch.Generator().manual_seed(VALID_SEED)).numpy()
    return replace(split, train=split.train[order[:count]], valid=split.train[order[count:]])


def phone_clips(clips: Manifest, lexicon: Path | None) -> TaskClips:
    """Make phone recognition of transcripts.

    Args:
        clips: Recordings with transcripts.
        lexicon: Lines of a word and its phones; None: the transcripts are phones, separated by blanks.

    Raises:
        AuricleError: No clip has a transcript whose words are all in the lexicon.
    """
    words = read_lexicon(lexicon) if lexicon else None
    rows, phones, left = [], list[list[str]](), 0
    for clip in clips:
        spoken = (clip.transcript or "").split()
        found = spoken if words is None else [phone for word in spoken for phone in words.get(word.upper(), [""])]
        if found and all(found):
            rows.append(clip)
            phones.append(found)
        else:
            left += 1
    if not rows:
        raise AuricleError("no clip has a transcript in phones; give the column transcript, and a lexicon for words")
    tokens = ("<blank>", *sorted({phone for row in phones for phone in row}))
    place = {token: i for i, token in enumerate(tokens)}
    targets = [np.array([place[phone] for phone in row]) for row in phones]
    kept = replace(clips, clips=rows)
    notes = (f"{left} clips without a transcript in known words are left out",) if left else ()
    return TaskClips(kept, [_parts(kept)], targets, (tokens,), notes=notes)


def read_lexicon(path: Path) -> dict[str, list[str]]:
    """Read lines of a word and its phones, separated by blanks or a tab; the first line of a word counts."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AuricleError(f"the lexicon {path} cannot be read: {error}") from None
    found: dict[str, list[str]] = {}
    for line in lines:
        word, *phones = line.split() or [""]
        if phones:
            found.setdefault(word.upper(), phones)
    return found


def _parts(clips: Manifest) -> Split:
    """The split by the manifest's parts. Raises AuricleError where training or test part is empty."""
    train, valid, test = (
        np.flatnonzero(clips.in_splits(names)) for names in (TRAINING_SPLITS, VALIDATION_SPLITS, TEST_SPLITS)
    )
    if not len(train) or not len(test):
        raise AuricleError("the clips need parts train and test (column split)")
    return _with_validation(Split("test", train, valid, test))


def speaker_clips(clips: Manifest, trials: Path) -> TaskClips:
    """Make speaker verification: speakers that no trial names are learnt, the pairs of the trials are compared.

    Args:
        clips: Recordings with one label, the speaker.
        trials: Lines of 1 (same) or 0, and two file names.

    Raises:
        AuricleError: The list cannot be read, or names clips that are not there.
    """
    rows = [c for c in clips if c.labels]
    place = {name: row for row, c in enumerate(rows) for name in (c.path, c.id) if name}
    found, missing = list[tuple[int, int, int]](), 0
    try:
        lines = [line.split() for line in trials.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise AuricleError(f"the list of trials {trials} cannot be read: {error}") from None
    for words in lines:
        if len(words) != 3 or words[0] not in ("0", "1"):
            raise AuricleError(f"{trials}: expected lines of 0 or 1 and two file names, found {' '.join(words)!r}")
        pair = [_row_of(place, name) for name in words[1:]]
        missing += None in pair
        found += [(pair[0], pair[1], int(words[0]))] if None not in pair else []  # type: ignore[list-item]
    if not found:
        raise AuricleError(f"{trials} names no pair of recordings that are there")
    tested = np.unique([row for pair in found for row in pair[:2]])
    heard = {rows[row].labels[0] for row in tested}
    train = np.array([i for i, c in enumerate(rows) if c.labels[0] not in heard])
    if not len(train):
        raise AuricleError("no speaker is left for training: the trials name recordings of all of them")
    speakers = tuple(sorted({rows[row].labels[0] for row in train}))
    index = {name: i for i, name in enumerate(speakers)}
    targets = [np.array([index.get(c.labels[0], 0)]) for c in rows]
    notes = (f"{missing} of {len(lines)} trials name recordings that are not there",) if missing else ()
    split = Split("trials", train, tested, tested)
    return TaskClips(replace(clips, clips=rows), [split], targets, (speakers,), np.array(found), notes)


def _row_of(place: dict[str, int], name: str) -> int | None:
    return next((place[key] for key in (name, f"wav/{name}", f"test/wav/{name}") if key in place), None)
