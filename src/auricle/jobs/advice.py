"""What is asked of advice, what is known, and what is answered, as data. No PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.errors import AuricleError, nearest
from auricle.jobs import advice_rules as rules
from auricle.options import argument, check_choices, check_ranges, option

STRATEGIES = ("transfer", "further", "scratch")
UNKNOWN_MEMORY = 24.0  # GiB, of a GPU that nobody described
ASSUMED_SECONDS = 10.0  # of a clip, where only hours are known


@dataclass(frozen=True)
class AdviseConfig:
    """What is known of the data and the machine."""

    source: str = argument("your sound: folder, manifest or prepared folder; its clips are counted", default="")
    domain: str = option("unsure", "everyday (AudioSet-like), speech, far (medical, industrial, …) or unsure")
    hours: float = option(0.0, "hours of sound in all; 0: counted, or from clips and their length")
    clips: int = option(0, "number of clips; 0: counted, or from hours and their length")
    clip_seconds: float = option(0.0, "seconds of a clip; 0: from hours and clips")
    labels: bool = option(False, "the clips are labelled")
    above_8khz: bool = option(False, "content above 8 kHz matters")
    fine_time: bool = option(False, "frames of 40 ms are wanted rather than 160 ms")
    noisy: str = option("unsure", "the recordings hold background noise", choices=("yes", "no", "unsure"))
    noise: str = option("", "folder of background sounds to mix in, such as FSD50K")
    gpus: int = option(-1, "number of GPUs, or auto: those of this machine", words={"auto": -1})
    gpu_memory: float = option(0.0, "GiB of one GPU; 0: this machine's, else 24")
    tflops: float = option(
        rules.DEFAULT_TFLOPS, "1e12 operations a second that one GPU sustains in bf16, for times that are not measured"
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
    )

    def __post_init__(self) -> None:
        check_choices(self)
        kind_of(self.domain)
        check_ranges(self, ("hours", "clips", "clip_seconds", "gpu_memory", "tflops"), 0)
        if min(self.hours, self.clips, self.clip_seconds, self.gpu_memory) < 0 or self.gpus < -1 or self.tflops <= 0:
            raise AuricleError("hours, clips, seconds, GPUs and their memory must be 0 or more, tflops above 0")


@dataclass(frozen=True)
class Facts:
    """The data in numbers (0: not known). kind: one of ``advice_rules.KINDS``; assumed: the length of clips is a guess."""

    kind: str
    clips: int
    hours: float
    clip_seconds: float
    assumed: bool = False

    def __str__(self) -> str:
        lasting = f", {self.hours:,.1f} hours" if self.hours else ""
        return f"{self.clips:,} clips{lasting} of {rules.MEANING[self.kind]}" if self.clips else "data of unknown size"


@dataclass(frozen=True)
class Machine:
    """GPUs, GiB of each, and whether it is this machine."""

    gpus: int
    memory: float
    here: bool
    known: bool


@dataclass(frozen=True)
class Plan:
    """The settings of a proposed run; ``like`` is the published run they are taken from."""

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
class Cost:
    """memory: bytes on each GPU; seconds of the whole run; ``how`` says where they come from."""

    memory: float
    seconds: float
    how: str


@dataclass(frozen=True)
class Advice:
    """What to do and why. ``plan`` and ``cost`` are None where nothing is trained."""

    strategy: str
    weight: str
    facts: Facts
    plan: Plan | None
    cost: Cost | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]


def kind_of(domain: str) -> str:
    """The kind that a word for a domain stands for. Raises AuricleError for an unknown word."""
    found = next((kind for kind, words in rules.WORDS.items() if domain.lower() in words), None)
    if found is None:
        known = tuple(word for words in rules.WORDS.values() for word in words)
        raise AuricleError(f"unknown domain '{domain}'{nearest(domain, known) or '; known: ' + ', '.join(known)}")
    return found
