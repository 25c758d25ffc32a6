"""The description of an index, ``index.json``: which model made it, how recordings were cut, and the classes of its scores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, content_fault, nearest
from auricle.core.io import dumps, write_text
from auricle.core.options import as_plain, from_plain

FORMAT = 1  # of the folder; an index of a newer format is refused
DESCRIPTION = "index.json"
MIN_SCORE = 0.05  # lower scores are not kept; of mn04_as's 527 classes 5.4 a window of ESC-10 are above it


@dataclass(frozen=True)
class IndexedClass:
    """A class whose scores are kept.

    Attributes:
        id: of the class in the head's label space.
        name: for people.
        label: the name in the index: ``name``, or "head: name" where several heads have it.
        threshold: the score at which an event of this class begins.
    """

    id: str
    name: str
    label: str
    threshold: float


@dataclass(frozen=True)
class IndexedHead:
    """A head of the model, and the classes that it reports. ``kind`` is "multilabel" or "multiclass"."""

    name: str
    kind: str
    classes: tuple[IndexedClass, ...]


@dataclass(frozen=True)
class IndexInfo:
    """What an index was made with. An index holds the windows of one model and one way to cut.

    Attributes:
        model: name, file or run folder of the model; paths are absolute.
        weights: local file of a published name; "" without.
        fingerprint: of the encoder.
        front_end, sample_rate: of the encoder; the rate in hertz.
        window, hop: seconds.
        dim: numbers per vector.
        dtype: of the stored vectors: "float32", "float16" or "int8".
        precision: arithmetic inside the network.
        min_score: scores below it are not kept.
        heads: with the classes whose scores are kept; () for an encoder without classes.
    """

    model: str
    fingerprint: str
    front_end: str
    sample_rate: int
    window: float
    hop: float
    dim: int
    dtype: str = "float32"
    precision: str = "float32"
    min_score: float = MIN_SCORE
    weights: str = ""
    heads: tuple[IndexedHead, ...] = ()

    @property
    def classes(self) -> tuple[IndexedClass, ...]:
        """The classes of all heads; the position of a class is its number in the database."""
        return tuple(item for head in self.heads for item in head.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of ``classes``."""
        return tuple(item.label for item in self.classes)

    def label_number(self, text: str) -> int:
        """Return the position in ``classes`` of a label, written as its label, name or id, in letters of any case.

        Raises:
            AuricleError: for a label that the index does not have, with similar ones, and for one that several heads have.
        """
        wanted = text.strip().casefold()
        classes = self.classes
        for written in ("label", "name", "id"):
            found = [n for n, item in enumerate(classes) if getattr(item, written).casefold() == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                raise AuricleError(
                    f"several heads have the label '{text}'; write one of {', '.join(classes[n].label for n in found)}"
                )
        if not classes:
            raise AuricleError(
                f"this index has no labels: its model, {self.model}, gives vectors only; search it by example"
            )
        raise AuricleError(f"this index has no label '{text}'{nearest(text, self.labels)}")

    def differences(self, other: IndexInfo) -> list[str]:
        """Return the settings in which two descriptions differ, as words; [] where windows of both belong together.

        Thresholds may differ.
        """
        named = {
            "fingerprint": "model",
            "front_end": "front end",
            "window": "--window",
            "hop": "--hop",
            "dtype": "--dtype",
            "precision": "--precision",
            "min_score": "--min-score",
            "heads": "classes",
        }
        found = []
        for name, word in named.items():
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs or (name == "heads" and _same_classes(mine, theirs)):
                continue
            if name == "fingerprint":
                mine, theirs = f"{self.model} ({mine[:12]})", f"{other.model} ({theirs[:12]})"
            found.append(word if name == "heads" else f"{word} {mine}, not {theirs}")
        return found[:1] if found and found[0].startswith("model") else found

    def write(self, folder: Path) -> None:
        """Write the description; atomic."""
        write_text(folder / DESCRIPTION, dumps({"format": FORMAT, **as_plain(self)}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> IndexInfo:
        """Read the description of an index.

        Raises:
            AuricleError: for a folder that is no index, one of a newer version, and a damaged file.
        """
        file = folder / DESCRIPTION
        if not file.is_file():
            what = "does not exist" if not folder.exists() else f"is no index (it has no {DESCRIPTION})"
            raise AuricleError(f"{folder} {what}; 'auricle index RECORDINGS --model NAME --out {folder}' makes one")
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            version = int(values.pop("format"))
        except Exception as error:  # any value may have any type, and any depth
            raise _damaged(file, content_fault(error)) from None
        if version > FORMAT:
            raise AuricleError(f"the index {folder} has format {version}; this version of Auricle reads {FORMAT}")
        try:
            info = from_plain(cls, {**values, "heads": tuple(map(_head, values.get("heads", ())))}, str(file))
        except Exception as error:
            raise _damaged(file, content_fault(error)) from None
        assert isinstance(info, IndexInfo)
        if not (info.window > 0 and info.hop > 0 and info.dim > 0 and info.sample_rate > 0):
            raise _damaged(file, "a window, hop, rate or width is not above 0")
        return info


def _same_classes(one: tuple[IndexedHead, ...], other: tuple[IndexedHead, ...]) -> bool:
    """Return True for heads that differ in thresholds only: they decide about events, and scores stay what they are."""
    names = [
        [(head.name, head.kind, [(c.id, c.label) for c in head.classes]) for head in heads] for heads in (one, other)
    ]
    return names[0] == names[1]


def labels_of_heads(names: Iterable[tuple[str, str]]) -> list[str]:
    """Return the labels of (head, class name) pairs: the name, with its head before it where it comes more than once."""
    pairs = list(names)
    often = Counter(name.casefold() for _, name in pairs)
    labels = [f"{head}: {name}" if often[name.casefold()] > 1 else name for head, name in pairs]
    seen: Counter[str] = Counter()
    for place, label in enumerate(labels):  # two classes of one head may have one name
        seen[label] += 1
        labels[place] = label if seen[label] == 1 else f"{label} ({seen[label]})"
    return labels


def _head(values: Any) -> IndexedHead:
    classes = tuple(from_plain(IndexedClass, item, DESCRIPTION) for item in values.pop("classes"))
    head = from_plain(IndexedHead, {**values, "classes": classes}, DESCRIPTION)
    assert isinstance(head, IndexedHead)
    return head


def _damaged(file: Path, reason: str) -> AuricleError:
    return AuricleError(
        f"{file} cannot be read ({reason}); restore the file, or make the index again in another folder"
    )
