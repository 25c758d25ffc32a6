"""The rules of ``auricle advise`` as data: published runs, start weights by situation, measured memory.

They come from the application guide and the readme of M2D ([m2d 5.7](docs/specification/m2d.md#s5-7),
[5.9](docs/specification/m2d.md#s5-9) and [6.7](docs/specification/m2d.md#s6-7)). Batch size, epochs, data size and teacher decay
depend on each other, so a proposal takes all of them from the nearest published run.
"""

from __future__ import annotations

from dataclasses import dataclass

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
