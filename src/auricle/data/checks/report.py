"""What a check found, as an object that prints as text and becomes JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.console import audio_length
from auricle.data.checks.findings import Finding

SHOWN = 3  # clips of a finding that are printed


@dataclass(frozen=True)
class CheckReport:
    """What was found; prints as text.

    Attributes:
        summary: The source in a sentence: clips, classes, splits.
        clips: Number of clips.
        usable: Number of clips that can be read and are not silent.
        seconds: Length of all usable clips together.
        findings: What was found, the most severe first.
        classes: Number of clips of every class.
        rates: Number of clips of every sample rate in hertz.
        lengths: Shortest, median, mean and longest clip, in seconds.
        failed: {id: error message} of the clips that cannot be read.
        notes: What should be known about how the source was understood.
        page: The page that was written; None: nothing was written.
        cleaned: The cleaned manifest that was written, or None.
        left_out: Why clips are not in it, with their number.
    """

    summary: str
    clips: int
    usable: int
    seconds: float
    findings: tuple[Finding, ...]
    classes: dict[str, int]
    rates: dict[int, int]
    lengths: dict[str, float]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()
    page: Path | None = None
    cleaned: Path | None = None
    left_out: dict[str, int] | None = None

    def named(self, name: str) -> Finding | None:
        """Return the finding of a name of ``KINDS``, such as ``clipped``; None where nothing of the kind was found."""
        return next((finding for finding in self.findings if finding.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "source": self.summary,
            "clips": self.clips,
            "usable": self.usable,
            "seconds": self.seconds,
            "findings": [finding.to_json() for finding in self.findings],
            "classes": self.classes,
            "rates": {str(rate): count for rate, count in self.rates.items()},
            "lengths": self.lengths,
            "failed": [{"id": id, "error": error} for id, error in self.failed.items()],
            "notes": list(self.notes),
            "page": self.page and str(self.page),
            "cleaned": self.cleaned and str(self.cleaned),
            "left_out": self.left_out,
        }

    def __str__(self) -> str:
        lines = [self.summary, f"{audio_length(self.seconds)} of sound in {self.usable:,} usable clips"]
        if self.lengths:
            lines[-1] += ", {shortest:.3g} to {longest:.3g} s long, median {median:.3g} s".format(**self.lengths)
        for finding in self.findings:
            lines.append(f"{finding.severity:<8} {finding.name}: {finding.title}: {finding.summary}")
            lines += [f"           {clip.id}: {clip.detail}" for clip in finding.clips[:SHOWN]]
            if len(finding.clips) > SHOWN:
                lines.append(f"           and {len(finding.clips) - SHOWN:,} more")
        if not self.findings:
            lines.append("nothing was found")
        return "\n".join(lines)
