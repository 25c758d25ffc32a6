"""The rules of ``auricle advise`` as data (published runs, start weights by situation, measured memory), and the cost of a
proposed run: memory and operations are counted, time is extrapolated from them or measured.

The rules come from the application guide and the readme of M2D ([m2d 5.7](docs/specification/m2d.md#s5-7),
[5.9](docs/specification/m2d.md#s5-9) and [6.7](docs/specification/m2d.md#s6-7)). Batch size, epochs, data size and teacher decay
depend on each other, so a proposal takes all of them from the nearest published run.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.models.m2d.config import PredictorConfig, ViTConfig

if TYPE_CHECKING:
    from auricle.methods.m2d.config import ViTPretrain


KINDS = ("everyday", "speech", "far", "unsure")
DOMAINS = {  # words in the singular
    "everyday": (
        "everyday", "audioset", "general", "environmental", "event", "tagging", "captioning", "music", "urban", "street",
        "traffic", "city", "household", "home", "indoor", "outdoor", "instrument", "soundscape", "scene",
    ),
    "speech": (
        "speech", "speaker", "language", "emotion", "voice", "spoken", "keyword", "command", "conversation", "podcast",
    ),
    "far": (
        "far", "medical", "respiratory", "lung", "heart", "cough", "breathing", "stethoscope",
        "industrial", "factory", "machine", "engine", "motor", "bearing", "pump", "fan", "valve", "vibration",
        "bioacoustic", "animal", "wildlife", "nature", "forest", "bird", "birdsong", "bat", "frog", "toad", "insect",
        "cricket", "cicada", "bee", "mosquito", "mammal", "primate", "dog", "cat", "livestock", "cow", "pig", "chicken",
        "marine", "underwater", "hydrophone", "whale", "dolphin", "seal", "fish", "ultrasound", "ultrasonic", "sonar",
        "seismic",
    ),
    "unsure": ("unsure", "unknown", "other"),
}  # fmt: skip
MEANING = {
    "everyday": "sounds as AudioSet names them (events, music, captions)",
    "speech": "speech",
    "far": "sounds far from AudioSet's classes, such as those of animals, medicine or machines",
    "unsure": "an unclear domain",
}

MANY_HOURS, MANY_CLIPS = 1000.0, 100_000  # above one of them, training from scratch on several GPUs may pay
FINE_BELOW = 4.0  # seconds: more than a third of a 6.08 s input would be padding; the 2 s input also has finer frames
NOISY, CLEAN = 0.3, 0.01  # noise ratios that helped most on noisy (ICBHI) and on cleaner recordings (SPRSound)
BLR, LOSS_OFF = 3e-4, 1.0
USABLE_MEMORY = 0.7  # ratio of a GPU's memory for weights and activations; the rest is workspace
DEFAULT_TFLOPS = 40.0  # an assumption: what one recent data-centre GPU sustains in bf16 on such networks


@dataclass(frozen=True)
class Known:
    """A published run that worked."""

    name: str
    strategy: str
    method: str
    clips: int
    effective_batch: int
    epochs: int
    warmup: int
    noise_ratio: float = 0.0
    min_ds_size: int = 0
    loss_off: float | None = None
    mask_ratio: float | None = None


KNOWN = (
    Known("M2D on AudioSet", "scratch", "m2d", 2_000_000, 2048, 300, 20),
    Known("M2D-AS on AudioSet", "scratch", "m2d-as", 2_000_000, 2048, 300, 20, loss_off=1.0),
    Known("M2D-S on LibriSpeech", "scratch", "m2d-s", 281_000, 2048, 1000, 60, 0.2, loss_off=0.5, mask_ratio=0.6),
    Known("M2D-X on ICBHI 2017", "further", "m2d-x", 539, 128, 600, 20, NOISY, 10_000, LOSS_OFF),
    Known("M2D-X on SPRSound", "further", "m2d-x", 6_656, 128, 600, 20, CLEAN, 0, LOSS_OFF),
    Known("M2D-X on 50,000 clips", "further", "m2d-x", 50_000, 128, 600, 24, CLEAN, 0, LOSS_OFF),
)


@dataclass(frozen=True)
class Start:
    """A published weight and when it is chosen; the first row that matches wins.

    kinds: of domain; high: content above 8 kHz matters (None: either); fine: frames of 40 ms and inputs of 2 s (None:
    either).
    """

    strategy: str
    kinds: tuple[str, ...]
    weight: str
    why: str
    high: bool | None = None
    fine: bool | None = None


STARTS = (
    Start(
        "transfer", ("everyday",), "m2d_as_vit_base-80x1001p16x16p32k-240413_AS-FT_enconly",
        "fine-tuned on AudioSet at 32 kHz: the task is close to AudioSet and content above 8 kHz matters", high=True,
    ),
    Start(
        "transfer", ("far", "unsure"), "m2d_as_vit_base-80x608p16x16p32k-240413_enconly",
        "a general-purpose weight at 32 kHz: content above 8 kHz matters", high=True,
    ),
    Start(
        "transfer", ("everyday",), "m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly",
        "M2D-AS fine-tuned on AudioSet, the best published tagger (mAP 0.485); second: "
        "m2d_vit_base-80x1001p16x16-221006-mr7_as_46ab246d",
    ),
    Start(
        "transfer", ("speech",), "m2d_s_vit_base-80x400p80x2-230201",
        "pre-trained on LibriSpeech; starting with the 4 s input makes experiments easier",
    ),
    Start(
        "transfer", ("far", "unsure"), "m2d_vit_base-80x608p16x16-221006-mr7",
        "general-purpose, not drawn to AudioSet's classes; also try m2d_vit_base-80x608p16x16-221006-mr6 and "
        "m2d_as_vit_base-80x608p16x16-240213",
    ),
    Start(
        "further", ("speech",), "m2d_s_vit_base-80x400p80x2-230201",
        "pre-trained on LibriSpeech; starting with the 4 s input makes experiments easier",
    ),
    Start(
        "further", ("everyday", "far", "unsure"), "m2d_vit_base-80x200p16x4-230529",
        "frames of 40 ms and inputs of 2 s, for short clips and fine timing", fine=True,
    ),
    Start(
        "further", ("everyday",), "m2d_as_vit_base-80x608p16x16-240213",
        "M2D-AS: the data are close to AudioSet's classes",
    ),
    Start(
        "further", ("far", "unsure"), "m2d_vit_base-80x608p16x16-221006-mr7",
        "general-purpose, not drawn to AudioSet's classes",
    ),
)  # fmt: skip

SIZES = {
    "speech": ("80x400", "80x2"),
    "fine": ("80x200", "16x4"),
    "plain": ("80x608", "16x16"),
}  # of a run from scratch

# MB that a training step of ViT-B keeps for the backward pass per clip, in bf16 (measured: the saved bytes of two
# clips minus those of one), by input and patch size; and MB of the weights' bf16 copies beside it.
ACTIVATIONS = {
    ("80x608", "16x16"): 58.3,
    ("80x200", "16x4"): 80.6,
    ("80x400", "80x2"): 68.8,
    ("80x512", "80x2"): 92.0,
    ("80x608", "80x2"): 113.3,
    ("80x208", "80x4"): 15.8,
}
COPIES = 222.0


GIB = 2**30
MB = 10**6
BYTES_TRAINED, BYTES_FROZEN = 16, 4  # weight, gradient and two moments in float32; a weight alone


@dataclass(frozen=True)
class Shape:
    """What decides the cost of a step: the networks, the ratio of hidden patches, and whether there is a teacher."""

    model: ViTConfig
    predictor: PredictorConfig
    mask_ratio: float
    teacher: bool

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of one crop, and how many of them the encoder sees."""
        rows, columns = self.model.grid
        return rows * columns, int(rows * columns * (1 - self.mask_ratio))


def stack_flops(tokens: int, width: int, depth: int) -> float:
    """Count the operations (two per multiply-add) of the forward pass of a transformer stack on one clip."""
    return depth * (24.0 * tokens * width**2 + 4.0 * tokens**2 * width)


def training_flops(shape: Shape) -> float:
    """Count the operations of one clip in one step.

    Student and predictor run forward and backward (three times the forward pass), target encoder and teacher forward.
    """
    tokens, visible = shape.tokens
    model, head = shape.model, shape.predictor
    student = stack_flops(visible + 1, model.embed_dim, model.depth)
    student += stack_flops(tokens + 1, head.decoder_embed_dim, head.decoder_depth)
    target = stack_flops(tokens - visible + 1, model.embed_dim, model.depth)
    return 3 * student + target + (stack_flops(tokens + 1, model.embed_dim, model.depth) if shape.teacher else 0.0)


def state_bytes(shape: Shape) -> float:
    """Return the bytes of weights, gradients and optimiser state."""
    model, head = shape.model, shape.predictor
    encoder = stack_parameters(model.embed_dim, model.depth)
    trained = (
        encoder
        + stack_parameters(head.decoder_embed_dim, head.decoder_depth)
        + 2 * model.embed_dim * head.decoder_embed_dim
    )
    linear = (model.grid[0] * model.embed_dim) ** 2 if shape.teacher else 0
    return BYTES_TRAINED * (trained + linear) + BYTES_FROZEN * encoder * (2 if shape.teacher else 1)


def stack_parameters(width: int, depth: int) -> int:
    return depth * (12 * width**2 + 13 * width)


def clip_bytes(shape: Shape) -> float:
    """Return the bytes of activations per clip of a step in bf16, measured for ViT-B at the published sizes."""
    return ACTIVATIONS[shape.model.input_size, shape.model.patch_size] * MB


def step_bytes(shape: Shape, batch: int) -> float:
    return state_bytes(shape) + COPIES * MB + batch * clip_bytes(shape)


def fitting_batch(shape: Shape, memory_gib: float) -> int:
    """Return how many clips fit into the memory of a GPU; 0 if not even one does."""
    free = USABLE_MEMORY * memory_gib * GIB - step_bytes(shape, 0)
    return max(0, int(free // clip_bytes(shape)))


def extrapolated_seconds(shape: Shape, clips: int, epochs: int, gpus: int, tflops: float) -> float:
    """Return the seconds of the whole run, from counted operations at ``tflops`` sustained on each GPU."""
    return training_flops(shape) * clips * epochs / (gpus * tflops * 1e12)


def measured(config: ViTPretrain, steps: int = 3) -> tuple[float, float, str]:
    """Measure a micro-step of the real networks on this machine, on noise: bytes, seconds, and the device and precision."""
    from auricle.training.run import dry_run

    with tempfile.TemporaryDirectory() as folder:
        make_noise(Path(folder), config)
        assert config.train.batch_size is not None
        needed = 2 * config.train.batch_size * config.train.accum_iter
        data = replace(config.data, noise_ratio=0.0, crops=replace(config.data.crops, min_ds_size=needed))
        estimate = dry_run(replace(config, source=folder, resume=None, data=data), steps)
    return float(estimate.memory), estimate.seconds_per_micro_step, f"{estimate.device} in {estimate.precision}"


def make_noise(folder: Path, config: ViTPretrain) -> None:
    """Write a prepared folder of two clips of keyed noise."""
    import numpy as np

    from auricle.core.randomness import RandomKey
    from auricle.data.manifest.formats import write_manifest
    from auricle.data.manifest.manifest import Clip, Manifest
    from auricle.data.stores.npy import write_array

    bins = int(config.model.input_size.split("x")[0])
    for i in range(2):
        values = RandomKey(0, 0, i).of("advice").normal(-7, 4, (bins, config.crop_frames)).astype(np.float32)
        write_array(folder / f"{i}.npy", values)
    write_manifest(
        Manifest(tuple(Clip(str(i), store=".", key=f"{i}.npy") for i in range(2)), folder), folder / "manifest.csv"
    )
    card = {"settings": {"front_end": config.model.front_end}}
    (folder / "prepare.json").write_text(json.dumps(card))
