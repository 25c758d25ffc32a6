"""Question, facts and answer of ``auricle advise`` as data, and the functions that collect the facts.

PyTorch is imported only where the machine is measured, so that ``--help`` is quick.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.commands.advise import rules
from auricle.core.errors import AuricleError, nearest
from auricle.core.options import argument, check_choices, check_ranges, option

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest

STRATEGIES = ("transfer", "further", "scratch")
ASSUMED_MEMORY = 24.0  # GiB of a GPU, where nothing is known
TRIED_TABLES = 10  # of a folder, in which labels are looked for
ASSUMED_SECONDS = 10.0  # of a clip, where only hours are known
AUTO: dict[str, Any] = {"auto": None}
ZERO: dict[Any, Any] = {0: None}  # "not set" in the first edition


@dataclass(frozen=True)
class AdviseConfig:
    """The user's answers about the data and the machine."""

    source: str = argument("your sound: folder, manifest or prepared folder; its clips are counted", default="")
    domain: str = option(
        "unsure", "everyday (AudioSet-like), speech, far (animals, medicine, machines), unsure, or a word such as birds"
    )
    hours: float | None = option(
        None, "hours of sound in all; auto: counted, or from clips and their length", special=AUTO, old=ZERO
    )
    clips: int | None = option(
        None, "number of clips; auto: counted, or from hours and their length", special=AUTO, old=ZERO
    )
    clip_seconds: float | None = option(None, "seconds of a clip; auto: from hours and clips", special=AUTO, old=ZERO)
    labels: bool = option(False, "the clips are labelled")
    above_8khz: bool = option(False, "content above 8 kHz matters")
    fine_time: bool = option(False, "the task needs frames of 40 ms, not 160 ms")
    noisy: str = option("unsure", "the recordings hold background noise", choices=("yes", "no", "unsure"))
    noise: str | None = option(
        None, "folder of background sounds to mix in, such as FSD50K", special={"none": None}, old={"": None}
    )
    gpus: int | None = option(None, "number of GPUs; auto: those of this machine", special=AUTO, old={-1: None})
    gpu_memory: float | None = option(None, "GiB of one GPU; auto: this machine's, else 24", special=AUTO, old=ZERO)
    tflops: float = option(
        rules.DEFAULT_TFLOPS,
        "1e12 operations a second that one GPU sustains in bf16, for times that are not measured",
        advanced=True,
    )
    strategy: str = option(
        "auto",
        "transfer (weights as they are), further (pre-training from published weights) or scratch",
        choices=("auto", *STRATEGIES),
    )
    measure: str = option(
        "auto",
        "run a few steps of the real network here; auto: where this machine has a GPU",
        choices=("auto", "yes", "no"),
        advanced=True,
    )

    def __post_init__(self) -> None:
        check_choices(self)
        kind_of(self.domain)
        check_ranges(self, ("hours", "clips", "clip_seconds", "gpus", "gpu_memory", "tflops"), 0)
        if not self.tflops:
            raise AuricleError("--tflops must be above 0")


@dataclass(frozen=True)
class Facts:
    """The data in numbers; 0 means unknown.

    Attributes:
        kind: one of ``rules.KINDS``.
        clips: number of clips.
        hours: of all clips together.
        clip_seconds: mean length of a clip.
        assumed: True if the length of a clip is a guess.
        labels: table beside the source that names the classes of most clips; "" where the source itself does; None: none found.
    """

    kind: str
    clips: int
    hours: float
    clip_seconds: float
    assumed: bool = False
    labels: str | None = None

    def __str__(self) -> str:
        hours = f", {self.hours:,.1f} hours" if self.hours else ""
        return f"{self.clips:,} clips{hours} of {rules.MEANING[self.kind]}" if self.clips else "data of unknown size"


@dataclass(frozen=True)
class Machine:
    """Number of GPUs and GiB of each; ``here``: this machine has a GPU; ``known``: the memory is not a guess."""

    gpus: int
    memory: float
    here: bool
    known: bool


@dataclass(frozen=True)
class Proposal:
    """Settings of a proposed run; ``like`` names the published run that they come from."""

    method: str
    input_size: str
    patch_size: str
    sample_rate: int
    epochs: int
    warmup_epochs: int
    effective_batch: int
    batch_size: int
    accum_iter: int
    gpus: int
    blr: float
    mask_ratio: float
    loss_off: float | None
    noise_ratio: float
    min_ds_size: int
    like: str


@dataclass(frozen=True)
class RunCost:
    """Bytes on each GPU and seconds of the whole run; ``how`` names the source of the figures."""

    memory: float
    seconds: float
    how: str


@dataclass(frozen=True)
class Advice:
    """Strategy, weight, settings, cost, reasons, notes and commands. ``plan`` and ``cost`` are None if nothing is trained."""

    strategy: str
    weight: str
    facts: Facts
    plan: Proposal | None
    cost: RunCost | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]


def kind_of(domain: str) -> str:
    """Return the kind of a domain: "far" for "lung", "Birds" and "bird song". Raises AuricleError for an unknown one."""
    words = re.findall(r"[a-z]+", domain.lower())
    kinds = {name: kind for kind, names in rules.DOMAINS.items() for name in names}
    for word in words:
        for form in (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("s") + "s"):
            if form in kinds:
                return kinds[form]
    raise AuricleError(
        f"unknown domain '{domain}'{nearest(domain, tuple(kinds))}. --domain takes everyday (close to AudioSet), speech, far "
        "(animals, medicine, machines), unsure, or a word such as music, birds or lung"
    )


def facts_of(config: AdviseConfig, quiet: bool = True) -> Facts:
    """Collect the facts: the user's answers, what the source holds, and what follows from both."""
    clips, hours, seconds = config.clips or 0, config.hours or 0.0, config.clip_seconds or 0.0
    labels = None
    if config.source and not (clips and hours):
        manifest = clips_of(config.source)
        labels = labels_of(config.source, manifest)
        counted, length = count(manifest, quiet)
        clips, hours = clips or counted, hours or length / 3600
    assumed = bool(hours and not clips and not seconds)
    if not clips and hours:
        seconds = seconds or ASSUMED_SECONDS
        clips = round(hours * 3600 / seconds)
    hours = hours or clips * seconds / 3600
    seconds = seconds or (3600 * hours / clips if clips else 0.0)
    return Facts(kind_of(config.domain), clips, hours, seconds, assumed, labels)


def clips_of(source: str, labels: str | None = None) -> Manifest:
    """Read a source. Raises AuricleError for one that cannot be read."""
    import warnings

    from auricle.data.manifest.formats import read_manifest
    from auricle.data.manifest.manifest import ManifestWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ManifestWarning)
        return read_manifest(source, labels=labels)


def labels_of(source: str, manifest: Manifest) -> str | None:
    """Return where the labels of most clips are: "" in the source itself, a table in its folder or the one above, or None."""
    from auricle.data.manifest.tables import TABLES

    def labelled(clips: Manifest) -> bool:
        return 2 * sum(bool(clip.labels) for clip in clips) > len(clips)

    if labelled(manifest):
        return ""
    folder = Path(source)
    if not folder.is_dir():
        return None
    for place in (folder, folder.absolute().parent):
        tables = sorted(file for file in place.iterdir() if file.suffix.lower() in TABLES and file.is_file())
        for table in tables[:TRIED_TABLES]:
            try:
                if labelled(clips_of(source, str(table))):
                    return str(table)
            except AuricleError:  # another table, not of these recordings
                continue
    return None


def count(manifest: Manifest, quiet: bool) -> tuple[int, float]:
    """Count clips and add up their seconds."""
    from auricle.data.stores.base import with_lengths
    from auricle.data.stores.npy import front_end_of, open_array
    from auricle.frontends.base import front_end

    if all(clip.seconds is not None for clip in manifest):
        return len(manifest), sum(clip.seconds or 0.0 for clip in manifest)
    if manifest.clips[0].has_spectrogram:
        hop = front_end(front_end_of(manifest)).hop_seconds
        return len(manifest), hop * sum(open_array(manifest.spectrogram(clip)).shape[1] for clip in manifest)
    manifest = with_lengths(manifest, quiet)
    return len(manifest), sum(clip.seconds or 0.0 for clip in manifest)


def machine_of(config: AdviseConfig) -> Machine:
    """Return the machine as the user described it; what is missing is taken from this machine."""
    if config.gpus is not None and config.gpu_memory and config.measure == "no":
        return Machine(config.gpus, config.gpu_memory, here=False, known=True)
    import torch

    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30 if here else 0.0
    gpus = here if config.gpus is None else config.gpus
    return Machine(gpus, config.gpu_memory or memory or ASSUMED_MEMORY, here > 0, bool(config.gpu_memory or memory))
