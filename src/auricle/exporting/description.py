"""What an exported graph takes and gives: ``labels.json`` of a bundle. It needs no PyTorch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import dumps, write_text
from auricle.core.options import from_plain

FILE = "labels.json"
MOST_SAMPLES = 2**31 - 1


@dataclass(frozen=True)
class HeadDescription:
    """One head: its name, the names of its two outputs, and its label space as JSON values."""

    name: str
    scores: str
    logits: str
    label_space: dict[str, Any]


@dataclass(frozen=True)
class Description:
    """What an exported graph takes and gives.

    Attributes:
        model, family, licence, source, fingerprint: of the encoder.
        front_end: id of the front end inside the graph.
        sample_rate: hertz of the waveform.
        min_samples: shorter waveforms are zero-padded to this first.
        samples: the only length; None: any length from ``min_samples`` up.
        window_samples: longer recordings are run in windows of this length, the last one moved back.
        takes_samples: whether there is a second input ``samples`` (B,) int64, the length of each clip in the waveform; a
            shorter clip is then zero-padded and comes out as if alone.
        batch_size: the only number of clips; None: any.
        frames: whether there is an output ``frames`` (B, T, D).
        frame_seconds: seconds from one frame to the next.
        heads: the heads whose classes are known, the main one first.
        clip_seconds: mean length of the clips that a detector learnt from; None where it is not known.
    """

    model: str
    family: str
    front_end: str
    sample_rate: int
    min_samples: int
    samples: int | None
    window_samples: int
    takes_samples: bool
    batch_size: int | None
    frames: bool
    frame_seconds: float
    heads: tuple[HeadDescription, ...]
    licence: str
    source: str
    fingerprint: str
    clip_seconds: float | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return ("wave", "samples") if self.takes_samples else ("wave",)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in their order."""
        by_head = [name for head in self.heads for name in (head.scores, head.logits)]
        return (*by_head, "embedding", *(("frames",) if self.frames else ()))

    def write(self, folder: Path) -> None:
        """Write ``labels.json``."""
        write_text(folder / FILE, dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read ``labels.json``. Raises AuricleError if the folder holds none that can be understood."""
        import json

        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            values["heads"] = tuple(HeadDescription(**head) for head in values["heads"])
            description: Description = from_plain(cls, values, FILE)
            description.check()
        except (AuricleError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            reason = error if isinstance(error, AuricleError) else content_fault(error)
            raise AuricleError(f"{folder} is no bundle of 'auricle export': {FILE} cannot be read ({reason})") from None
        return description

    def check(self) -> None:
        """Raise ValueError for sizes that no graph has."""
        sizes = {
            "sample_rate": self.sample_rate,
            "min_samples": self.min_samples,
            "window_samples": self.window_samples,
        }
        fixed = {"samples": self.samples, "batch_size": self.batch_size}
        for name, size in (sizes | {name: size for name, size in fixed.items() if size is not None}).items():
            if not 1 <= size <= MOST_SAMPLES:
                raise ValueError(f"{name} is {size}, expected a whole number from 1 to {MOST_SAMPLES}")
        if self.min_samples > self.window_samples:
            raise ValueError(f"min_samples {self.min_samples} is above window_samples {self.window_samples}")
