"""What the checks can find: the name of each kind, how bad it is and what to do; and a finding with its clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class FindingKind(NamedTuple):
    """One kind of finding: how bad it is, what it is, and what to do."""

    severity: Severity
    title: str
    advice: str


KINDS = {
    # clips that cannot be used
    "unreadable": FindingKind("error", "cannot be read", "get the file again, convert it, or leave it out"),
    "empty": FindingKind("error", "no samples", "get the file again, or leave it out"),
    "truncated": FindingKind("error", "ends before the length that it declares", "get the file again, or leave it out"),
    "silent": FindingKind("error", "one and the same sample from beginning to end", "leave it out"),
    # splits and labels
    "leak": FindingKind(
        "error",
        "the same sound in several parts of the data",
        "move all of it into one part: scores over these parts are too good",
    ),
    "label-conflict": FindingKind("error", "the same sound with different labels", "listen, and correct the labels"),
    "empty-class": FindingKind("warning", "class without clips", "take it out of the class list, or add clips"),
    "missing-in-training": FindingKind(
        "error", "class that is tested but not trained", "move some of its clips into the training part"
    ),
    "similar-labels": FindingKind(
        "warning", "labels that differ in spelling alone", "write them alike if they are one class"
    ),
    "rare-class": FindingKind(
        "warning", "class with very few clips", "add clips: it cannot be in every fold of a cross-validation"
    ),
    "unlabelled": FindingKind("note", "clips without a label among labelled ones", "label them, or leave them out"),
    # copies
    "identical-files": FindingKind("warning", "files with the same bytes", "keep one of each"),
    "identical-audio": FindingKind("warning", "the same samples in different files", "keep one of each"),
    "near-duplicates": FindingKind("warning", "the same sound in another form", "keep one of each"),
    "overlap": FindingKind("warning", "clips that share a part of their sound", "keep them in one part of the data"),
    # what is wrong with the sound
    "inverted-channels": FindingKind(
        "error", "channels cancel each other when mixed to mono", "invert the polarity of one channel, or use one alone"
    ),
    "dead-channel": FindingKind("warning", "a channel without sound", "use the other channel alone"),
    "identical-channels": FindingKind("note", "all channels are the same", "store one channel: the others add nothing"),
    "clipped": FindingKind("warning", "peaks are cut off", "record at a lower level; the sound cannot be repaired"),
    "level": FindingKind("warning", "samples far outside [-1, 1]", "divide by the scale of the integers"),
    "quiet": FindingKind("warning", "hardly any level", "check the microphone and its gain"),
    "offset": FindingKind("warning", "the mean is far from zero (DC)", "subtract the mean, or use a high-pass filter"),
    "few-bits": FindingKind(
        "warning", "coarse steps, as of 8 bits or less", "get the recording before it was converted, if there is one"
    ),
    "band-limited": FindingKind(
        "note",
        "nothing above a frequency far below half the sample rate",
        "see that classes do not differ in it: a model would learn the recorder",
    ),
    "padded": FindingKind("note", "more than half of the clip is digital silence", "cut the silence off, if it matters"),
    "short": FindingKind("warning", "too short to hold a sound", "leave it out, or take longer clips"),
    "header": FindingKind("warning", "the header does not declare the length of what is there", "write the file again"),
    # the whole corpus
    "mixed-rates": FindingKind(
        "note", "several sample rates", "see that classes do not differ in it: a model would learn the recorder"
    ),
    "mixed-channels": FindingKind("note", "mono beside several channels", "nothing: channels are mixed to mono"),
    "uneven-lengths": FindingKind("note", "lengths differ widely", "give --window or --crop-seconds where you train"),
}  # fmt: skip


class FoundClip(NamedTuple):
    """A clip of a finding and what was found of it."""

    id: str
    detail: str


@dataclass(frozen=True)
class Finding:
    """What was found of one kind.

    Attributes:
        name: Its name in ``KINDS``.
        summary: A sentence on all of it.
        clips: The clips, the worst first; empty where it concerns labels or the corpus.
        groups: Numbers of clips that belong together, as many as ``clips``; empty where there are no groups.
    """

    name: str
    summary: str
    clips: tuple[FoundClip, ...] = ()
    groups: tuple[int, ...] = ()

    @property
    def severity(self) -> Severity:
        """``error``: clips cannot be used, or scores are wrong; ``warning``: learning suffers; ``note``: good to know."""
        return KINDS[self.name].severity

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return KINDS[self.name].title

    @property
    def advice(self) -> str:
        """What to do."""
        return KINDS[self.name].advice

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        groups = self.groups or (None,) * len(self.clips)
        clips = [
            {"id": clip.id, "detail": clip.detail} | ({} if group is None else {"group": group})
            for clip, group in zip(self.clips, groups)
        ]
        plain = {"name": self.name, "severity": self.severity, "title": self.title, "summary": self.summary}
        return plain | {"advice": self.advice, "clips": clips}


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings by severity, of one severity in the order of ``KINDS``."""
    places = {name: place for place, name in enumerate(KINDS)}
    return tuple(sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), places[one.name])))
