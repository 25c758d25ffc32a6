"""Which recipe fits my data: the application guide as a function of a few facts (specification m2d 5.7 and 5.9)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from auricle.errors import AuricleError, nearest
from auricle.jobs import advice_rules as rules
from auricle.jobs.advice_commands import commands_of
from auricle.jobs.advice_cost import Shape, extrapolated_seconds, fitting_batch, step_bytes
from auricle.jobs.advice_rules import KNOWN, STARTS, Known, Start
from auricle.models.config import PredictorConfig, ViTConfig
from auricle.options import argument, option

STRATEGIES = ("transfer", "further", "scratch")
UNKNOWN_MEMORY = 24.0  # GiB, of a GPU that nobody described
NO_32K = "no published 32 kHz weight can be pre-trained further (they hold the encoder alone)"
HEARS_8K = "with --strategy further a 16 kHz weight is used, and what is above 8 kHz is not heard"
ASSUMED_SECONDS = 10.0  # of a clip, where only hours are known
FEW = 2  # clips of a step that is measured without a GPU


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
        kind_of(self.domain)
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


def advise(config: AdviseConfig, *, quiet: bool = True) -> Advice:
    """A proposal with its reasons, expected cost and command lines.

    Raises AuricleError for a source that cannot be counted, and when not one clip fits into a GPU.
    """
    facts, machine = facts_of(config, quiet), machine_of(config)
    strategy, reasons, notes = strategy_of(config, facts, machine)
    fine = config.fine_time or (0 < facts.clip_seconds < rules.FINE_BELOW)
    start = start_of(strategy, facts.kind, config.above_8khz, fine)
    weight = start.weight if start else ""
    if start:
        reasons.append(f"start weight: {start.why}")
        notes.append(f"the weight's licence is its own: auricle models show {weight}")
    plan = None if strategy == "transfer" else plan_of(config, facts, machine, strategy, start, fine)
    if plan:
        reasons += why(plan, config, facts, fine)
        notes += cautions(plan, facts, machine)
    cost = cost_of(config, plan, facts, machine) if plan else None
    commands = commands_of(config, weight, plan)
    return Advice(strategy, weight, facts, plan, cost, tuple(reasons), tuple(notes), commands)


def kind_of(domain: str) -> str:
    """The kind that a word for a domain stands for. Raises AuricleError for an unknown word."""
    found = next((kind for kind, words in rules.WORDS.items() if domain.lower() in words), None)
    if found is None:
        known = tuple(word for words in rules.WORDS.values() for word in words)
        raise AuricleError(f"unknown domain '{domain}'{nearest(domain, known) or '; known: ' + ', '.join(known)}")
    return found


def facts_of(config: AdviseConfig, quiet: bool = True) -> Facts:
    """What was said, what the source shows, and what follows from both."""
    clips, hours, seconds = config.clips, config.hours, config.clip_seconds
    if config.source and not (clips and hours):
        counted, lasting = count(config.source, quiet)
        clips, hours = clips or counted, hours or lasting / 3600
    assumed = bool(hours and not clips and not seconds)
    if not clips and hours:
        seconds = seconds or ASSUMED_SECONDS
        clips = round(hours * 3600 / seconds)
    hours = hours or clips * seconds / 3600
    seconds = seconds or (3600 * hours / clips if clips else 0.0)
    return Facts(kind_of(config.domain), clips, hours, seconds, assumed)


def count(source: str, quiet: bool) -> tuple[int, float]:
    """Clips of a source and their seconds in all. Raises AuricleError for what cannot be read."""
    import warnings

    from auricle.data.lengths import with_lengths
    from auricle.data.manifest import ManifestWarning
    from auricle.data.manifest_io import read_manifest
    from auricle.data.stores import front_end_of, open_array
    from auricle.signal.front_ends import front_end

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ManifestWarning)
        manifest = read_manifest(source)
    if all(clip.seconds is not None for clip in manifest):
        return len(manifest), sum(clip.seconds or 0.0 for clip in manifest)
    if manifest.clips[0].key is not None:
        hop = front_end(front_end_of(manifest)).hop_seconds
        return len(manifest), hop * sum(open_array(manifest.spectrogram(clip)).shape[1] for clip in manifest)
    manifest = with_lengths(manifest, quiet)
    return len(manifest), sum(clip.seconds or 0.0 for clip in manifest)


def machine_of(config: AdviseConfig) -> Machine:
    """As described; what was not is looked up here."""
    if config.gpus >= 0 and config.gpu_memory and config.measure == "no":
        return Machine(config.gpus, config.gpu_memory, here=False, known=True)
    import torch

    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30 if here else 0.0
    gpus = here if config.gpus < 0 else config.gpus
    return Machine(gpus, config.gpu_memory or memory or UNKNOWN_MEMORY, here > 0, bool(config.gpu_memory or memory))


def strategy_of(config: AdviseConfig, facts: Facts, machine: Machine) -> tuple[str, list[str], list[str]]:
    """The strategy, its reason, and what to know besides."""
    large = facts.hours > rules.MANY_HOURS or facts.clips > rules.MANY_CLIPS
    if config.strategy != "auto":
        return config.strategy, [f"{config.strategy}: asked for ({facts})"], []
    if not facts.clips:
        return "transfer", ["weights as they are: no sound of your own to train on was named"], []
    if machine.gpus == 0:
        return "transfer", [f"weights as they are: no GPU to pre-train a ViT-B on ({facts})"], []
    if large and machine.gpus > 1:
        bar = f"{rules.MANY_HOURS:,.0f} hours or {rules.MANY_CLIPS:,} clips"
        words = f"pre-training from scratch may pay: {facts} is more than {bar}, with {machine.gpus} GPUs"
        return "scratch", [words], []
    if config.above_8khz:
        return "transfer", [f"weights as they are: content above 8 kHz matters, and {NO_32K}"], [HEARS_8K]
    why = "one GPU is too few for training from scratch" if large else "your own data are too few to train from scratch"
    return "further", [f"further pre-training: {why} ({facts})"], []


def start_of(strategy: str, kind: str, high: bool, fine: bool) -> Start | None:
    """The published weight to start from; None from scratch."""
    for row in STARTS:
        if row.strategy == strategy and kind in row.kinds and row.high in (None, high) and row.fine in (None, fine):
            return row
    return None


def plan_of(
    config: AdviseConfig, facts: Facts, machine: Machine, strategy: str, start: Start | None, fine: bool
) -> Plan:
    """The settings of the nearest published run, cut to the machine."""
    like = known_of(strategy, method_of(config, facts, strategy), facts.clips)
    rate, (input_size, patch_size) = 16000, sizes_of(facts.kind, fine, start)
    if start is None and config.above_8khz and like.method != "m2d-s":
        rate = 32000
    mask_ratio = 0.6 if input_size == rules.SIZES["speech"][0] else 0.7
    shape = shape_of(like.method, input_size, patch_size, rate, mask_ratio)
    gpus = max(1, machine.gpus)
    batch, accum = batch_of(shape, like.effective_batch, gpus, machine)
    return Plan(
        method=like.method,
        input_size=input_size,
        patch_size=patch_size,
        sample_rate=rate,
        epochs=like.epochs,
        warmup_epochs=like.warmup,
        effective_batch=batch * accum * gpus,
        batch_size=batch,
        accum_iter=accum,
        gpus=gpus,
        blr=rules.BLR,
        mask_ratio=mask_ratio,
        loss_off=like.loss_off,
        noise_ratio=noise_of(config, like),
        min_ds_size=like.min_ds_size if facts.clips < like.min_ds_size else 0,
        like=like.name,
    )


def method_of(config: AdviseConfig, facts: Facts, strategy: str) -> str:
    if strategy == "further":
        return "m2d-x"
    if facts.kind == "speech":
        return "m2d-s"
    return "m2d-as" if config.labels else "m2d"


def known_of(strategy: str, method: str, clips: int) -> Known:
    """The published run of this strategy whose data set is nearest in size; of the method where there are several."""
    rows = [row for row in KNOWN if row.strategy == strategy and row.method == method]
    return min(rows, key=lambda row: abs(math.log(row.clips / max(1, clips))))


def sizes_of(kind: str, fine: bool, start: Start | None) -> tuple[str, str]:
    """Input and patch size: those of the start weight, else by what is listened to."""
    if start is None:
        return rules.SIZES["speech" if kind == "speech" else "fine" if fine else "plain"]
    from auricle.hub.convert.m2d_names import parse_name

    said = parse_name(start.weight)
    assert said is not None
    return said.input_size, said.patch_size


def shape_of(method: str, input_size: str, patch_size: str, rate: int, mask_ratio: float) -> Shape:
    model = ViTConfig(input_size=input_size, patch_size=patch_size, sample_rate=rate)
    return Shape(model, PredictorConfig(), mask_ratio, teacher=method == "m2d-x")


def batch_of(shape: Shape, effective: int, gpus: int, machine: Machine) -> tuple[int, int]:
    """Clips per GPU and micro-steps, for an effective batch of at least ``effective``."""
    wanted, fits = -(-effective // gpus), fitting_batch(shape, machine.memory)
    if not fits:
        needed = math.ceil(step_bytes(shape, 1) / rules.SHARE_OF_MEMORY / 2**30)
        raise AuricleError(
            f"not one clip of a ViT-B step fits into {machine.memory:g} GiB; it takes about {needed} GiB: use a larger GPU, "
            "or the weights as they are (--strategy transfer)"
        )
    accum = -(-wanted // fits)
    return -(-wanted // accum), accum


def noise_of(config: AdviseConfig, like: Known) -> float:
    """As the published run; by what was said of the recordings where that run's own differed with it."""
    if like.method != "m2d-x" or config.noisy == "unsure":
        return like.noise_ratio
    return rules.NOISY if config.noisy == "yes" else rules.CLEAN


def why(plan: Plan, config: AdviseConfig, facts: Facts, fine: bool) -> list[str]:
    """The reasons for the settings, one sentence each."""
    reasons = {
        "m2d-x": "method M2D-X: the start weight is its own offline teacher too, as in the published further pre-training",
        "m2d-s": "method M2D-S: speech, with HuBERT features as second target and noise in the input",
        "m2d-as": "method M2D-AS: the clips are labelled",
        "m2d": "method M2D: no labels are needed",
    }
    words = [reasons[plan.method]]
    if fine and facts.kind != "speech":
        padding = f"much of 6.08 s would be padding with clips of {facts.clip_seconds:.1f} s"
        short = "asked for" if config.fine_time else padding
        words.append(f"input {plan.input_size}, patch {plan.patch_size}: 2 s and frames of 40 ms ({short})")
    words.append(
        f"batch, epochs and warm-up of {plan.like}, the nearest published run: they belong together with the size of the "
        "data and the teacher's decay, so keep them together"
    )
    words.append(
        f"effective batch {plan.effective_batch} = {plan.batch_size} clips x {plan.accum_iter} micro-steps x {plan.gpus} GPU"
    )
    if plan.noise_ratio:
        words.append(f"noise ratio {plan.noise_ratio:g}: {noise_words(plan, config)}")
    if plan.min_ds_size:
        words.append(f"min-ds-size {plan.min_ds_size}: the list is repeated so that an epoch is long enough")
    return words


def noise_words(plan: Plan, config: AdviseConfig) -> str:
    if plan.method == "m2d-s":
        return "published for speech (denoising distillation)"
    if config.noisy == "unsure":
        return f"that of {plan.like}; 0.3 helped on noisy recordings, 0.01 on cleaner ones, and 0 was worse on both"
    return (
        "helped most on noisy recordings (ICBHI)" if config.noisy == "yes" else "helped most on cleaner ones (SPRSound)"
    )


def cautions(plan: Plan, facts: Facts, machine: Machine) -> list[str]:
    """What a person should know before starting."""
    notes = []
    if facts.assumed:
        notes.append(
            f"the length of your clips is not known: {ASSUMED_SECONDS:g} s are assumed; say --clips or --clip-seconds"
        )
    if machine.gpus == 0:
        notes.append("no GPU was named: the figures are for one; --measure yes measures this machine's processor")
    if not machine.known:
        notes.append(f"the GPU's memory is not known: {UNKNOWN_MEMORY:g} GiB are assumed; say --gpu-memory")
    if plan.method == "m2d-s":
        notes.append("the speech features need the [hf] extra: pip install 'auricle[hf]'")
    if facts.clips and plan.method != "m2d-x" and facts.clips < rules.MANY_CLIPS and facts.hours < rules.MANY_HOURS:
        notes.append(
            "so few data have not been shown to pay from scratch; --strategy further starts from published weights"
        )
    if plan.gpus > 8:
        notes.append("the published runs used up to 4 GPUs")
    return notes


def cost_of(config: AdviseConfig, plan: Plan, facts: Facts, machine: Machine) -> Cost:
    """Measured where that is asked for or the machine is here; else counted and extrapolated."""
    shape = shape_of(plan.method, plan.input_size, plan.patch_size, plan.sample_rate, plan.mask_ratio)
    clips = max(facts.clips, plan.min_ds_size)
    if config.measure == "yes" or (config.measure == "auto" and machine.here):
        return measured_cost(plan, shape, clips, machine)
    seconds = extrapolated_seconds(shape, clips, plan.epochs, plan.gpus, config.tflops)
    how = (
        f"memory: counted; time: extrapolated from counted operations at {config.tflops:g} TFLOP/s sustained on each GPU "
        "(an assumption: --tflops, or --measure yes on the machine itself)"
    )
    return Cost(step_bytes(shape, plan.batch_size), seconds, how)


def measured_cost(plan: Plan, shape: Shape, clips: int, machine: Machine) -> Cost:
    """From a few steps of plain M2D with the same networks on this machine; the teacher's share is added by counting."""
    from auricle.jobs.advice_cost import measured, training_flops
    from auricle.jobs.methods import M2DPretrain, with_flags

    batch = plan.batch_size if machine.here else min(plan.batch_size, FEW)
    values = {name: getattr(plan, name) for name in ("input_size", "patch_size", "sample_rate", "mask_ratio")}
    values |= {"batch_size": batch, "workers": 0, "epochs": 1, "warmup_epochs": 0.0}
    memory, step, device = measured(with_flags(M2DPretrain("m2d", "", ""), values))
    plain = replace(shape, teacher=False)
    share = training_flops(shape) / training_flops(plain)
    seconds = step / batch * share * clips * plan.epochs / plan.gpus
    teacher = step_bytes(shape, 0) - step_bytes(plain, 0)
    bytes_ = memory + teacher if machine.here else step_bytes(shape, plan.batch_size)
    how = f"time: a few steps of the same networks, {batch} clips each, measured here on {device}"
    return Cost(bytes_, seconds, how + (f"; {plan.gpus} GPUs are taken to share them evenly" if plan.gpus > 1 else ""))


def as_json(advice: Advice) -> dict[str, Any]:
    """The advice as JSON values."""
    return asdict(advice)
