"""Records of every weight that EfficientAT publishes, with settings that the files lack.

Source: [efficientat 1](docs/specification/efficientat.md#s1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from auricle.hub.published.record import PublishedRecord
from auricle.models.efficientat.config import FRONT_END, DyMNConfig, MNConfig

SOURCE = "https://github.com/fschmid56/EfficientAT"
BASE = f"{SOURCE}/releases/download/v0.0.1/"
LICENCE = "MIT (repository; weights not stated)"
IMAGENET_NOTE = "ImageNet start weights: outputs are not sound classes; their pre-training recipe is unpublished"
# kernel temperature at which the published ImageNet DyMN ended: [efficientat 1.2](docs/specification/efficientat.md#s1-2)
IMAGE_TEMPERATURE = 30.0

# trained parameters by width multiplier, with 527 outputs and the mlp head: measured
# ([efficientat 11](docs/specification/efficientat.md#s11))
MN_PARAMETERS = {
    0.1: 123_783,
    0.2: 324_695,
    0.4: 983_599,
    0.5: 1_431_239,
    1.0: 4_876_831,
    2.0: 17_909_287,
    3.0: 39_086_367,
    4.0: 68_427_303,
}
FC_PARAMETERS = 3_478_638  # mn10 with the fully convolutional head
DYMN_PARAMETERS = {0.4: 1_961_239, 1.0: 10_548_479, 2.0: 39_966_143}
REPLACE_SE_PARAMETERS = {0.4: 1_829_287, 1.0: 9_833_935}

# width, name, file, mAP, description of the variant, settings of the variant (hop in samples, mel bands, strides)
MN_AUDIOSET: tuple[tuple[float, str, str, float, str, dict[str, Any]], ...] = (
    (0.1, "mn01_as", "mn01_as_mAP_298.pt", 0.298, "", {}),
    (0.2, "mn02_as", "mn02_as_mAP_378.pt", 0.378, "", {}),
    (0.4, "mn04_as", "mn04_as_mAP_432.pt", 0.432, "", {}),
    (0.5, "mn05_as", "mn05_as_mAP_443.pt", 0.443, "", {}),
    (1.0, "mn10_as", "mn10_as_mAP_471.pt", 0.471, "", {}),
    (2.0, "mn20_as", "mn20_as_mAP_478.pt", 0.478, "", {}),
    (3.0, "mn30_as", "mn30_as_mAP_482.pt", 0.482, "", {}),
    (4.0, "mn40_as", "mn40_as_mAP_484.pt", 0.484, "", {}),
    (4.0, "mn40_as(2)", "mn40_as_mAP_483.pt", 0.483, "second run", {}),
    (4.0, "mn40_as(3)", "mn40_as_mAP_483(2).pt", 0.483, "third run", {}),
    (4.0, "mn40_as_no_im_pre", "mn40_as_no_im_pre_mAP_483.pt", 0.483, "no ImageNet pre-training", {}),
    (4.0, "mn40_as_no_im_pre(2)", "mn40_as_no_im_pre_mAP_483(2).pt", 0.483, "no ImageNet pre-training, second run", {}),
    (4.0, "mn40_as_no_im_pre(3)", "mn40_as_no_im_pre_mAP_482.pt", 0.482, "no ImageNet pre-training, third run", {}),
    (4.0, "mn40_as_ext", "mn40_as_ext_mAP_487.pt", 0.487, "trained for 300 epochs", {}),
    (4.0, "mn40_as_ext(2)", "mn40_as_ext_mAP_486.pt", 0.486, "trained for 300 epochs, second run", {}),
    (4.0, "mn40_as_ext(3)", "mn40_as_ext_mAP_485.pt", 0.485, "trained for 300 epochs, third run", {}),
    (1.0, "mn10_as_hop_5", "mn10_as_hop_5_mAP_475.pt", 0.475, "hop 5 ms", {"hop": 160}),
    (1.0, "mn10_as_hop_15", "mn10_as_hop_15_mAP_463.pt", 0.463, "hop 15 ms", {"hop": 480}),
    (1.0, "mn10_as_hop_20", "mn10_as_hop_20_mAP_456.pt", 0.456, "hop 20 ms", {"hop": 640}),
    (1.0, "mn10_as_hop_25", "mn10_as_hop_25_mAP_447.pt", 0.447, "hop 25 ms", {"hop": 800}),
    (1.0, "mn10_as_mels_40", "mn10_as_mels_40_mAP_453.pt", 0.453, "40 mel bands", {"mels": 40}),
    (1.0, "mn10_as_mels_64", "mn10_as_mels_64_mAP_461.pt", 0.461, "64 mel bands", {"mels": 64}),
    (1.0, "mn10_as_mels_256", "mn10_as_mels_256_mAP_474.pt", 0.474, "256 mel bands", {"mels": 256}),
    (1.0, "mn10_as_fc", "mn10_as_fc_mAP_465.pt", 0.465, "fully convolutional head", {"strides": (2, 2, 2, 2)}),
    (
        1.0,
        "mn10_as_fc_s2221",
        "mn10_as_fc_s2221_mAP_466.pt",
        0.466,
        "fully convolutional head, strides 2221",
        {"strides": (2, 2, 2, 1)},
    ),
    (
        1.0,
        "mn10_as_fc_s2211",
        "mn10_as_fc_s2211_mAP_466.pt",
        0.466,
        "fully convolutional head, strides 2211",
        {"strides": (2, 2, 1, 1)},
    ),
)
MN_IMAGENET = {"mn01": 0.1, "mn02": 0.2, "mn04": 0.4, "mn05": 0.5, "mn10": 1.0, "mn20": 2.0, "mn30": 3.0, "mn40": 4.0}
DYMN_AUDIOSET: tuple[tuple[float, str, str, float | None, str, str], ...] = (
    (0.4, "dymn04_as", "dymn04_as.pt", 0.450, "all", ""),
    (1.0, "dymn10_as", "dymn10_as.pt", 0.477, "all", ""),
    (2.0, "dymn20_as", "dymn20_as_mAP_493.pt", 0.493, "all", ""),
    (2.0, "dymn20_as(1)", "dymn20_as.pt", None, "all", "another run"),
    (2.0, "dymn20_as(2)", "dymn20_as_mAP_489.pt", 0.489, "all", "another run"),
    (2.0, "dymn20_as(3)", "dymn20_as_mAP_490.pt", 0.490, "all", "another run"),
    (
        0.4,
        "dymn04_replace_se_as",
        "dymn04_replace_se_as.pt",
        None,
        "replace_se",
        "dynamic blocks where MN has squeeze-and-excitation",
    ),
    (
        1.0,
        "dymn10_replace_se_as",
        "dymn10_replace_se_as.pt",
        None,
        "replace_se",
        "dynamic blocks where MN has squeeze-and-excitation",
    ),
)
DYMN_IMAGENET = {"dymn04": 0.4, "dymn10": 1.0, "dymn20": 2.0}
KNOWN_FILES = {  # (size in bytes, SHA-256), as far as known
    "mn04_as_mAP_432.pt": (4_066_513, "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c")
}


def front_end(hop: int = 320, mels: int = 128) -> str:
    """Return the id of the family's front end with this hop (samples at 32 kHz) and number of mel bands."""
    return FRONT_END.replace("-m128-", f"-m{mels}-").replace("-h320-", f"-h{hop}-")


def _record(
    name: str, family: str, file: str, config: MNConfig | DyMNConfig, summary: str, **more: Any
) -> PublishedRecord:
    size, sha256 = KNOWN_FILES.get(file, (None, ""))
    return PublishedRecord(
        name,
        family,
        summary,
        config,
        urls=(BASE + file,),
        file=file,
        size=size,
        sha256=sha256,
        front_end=config.front_end,
        licence=LICENCE,
        source=SOURCE,
        **more,
    )


def _tagger(count: int, score: float | None, *papers: str) -> dict[str, Any]:
    """Return the fields that all AudioSet taggers share."""
    labels = {"class_list": "audioset", "label_type": "multilabel"}
    return labels | {"parameters": count, "score": score, "papers": papers, "use": "tagging; embeddings"}


def _mn_audioset(
    width: float, name: str, file: str, score: float, special: str, settings: dict[str, Any]
) -> PublishedRecord:
    head = "fully_convolutional" if "_fc" in name else "mlp"
    mel = front_end(settings.get("hop", 320), settings.get("mels", 128))
    config = MNConfig(width=width, head=head, strides=settings.get("strides", (2, 2, 2, 2)), front_end=mel)
    summary = f"MobileNetV3 of width {width:g}, AudioSet" + (f", {special}" if special else "")
    count = FC_PARAMETERS if head != "mlp" else MN_PARAMETERS[width]
    return _record(name, "mn", file, config, summary, **_tagger(count, score, "schmid2023efficient"))


def _dymn_audioset(
    width: float, name: str, file: str, score: float | None, blocks: str, special: str
) -> PublishedRecord:
    config = DyMNConfig(width=width, dynamic_blocks=blocks)
    summary = f"dynamic MobileNet of width {width:g}, AudioSet" + (f", {special}" if special else "")
    count = (DYMN_PARAMETERS if blocks == "all" else REPLACE_SE_PARAMETERS)[width]
    note = "the read-me's table says 0.491" if name == "dymn20_as" else ""
    return _record(name, "dymn", file, config, summary, note=note, **_tagger(count, score, "schmid2024dynamic"))


def _imagenet(name: str, family: str, config: MNConfig | DyMNConfig, paper: str) -> PublishedRecord:
    summary = f"width {config.width:g}, ImageNet start weights for training"
    return _record(
        f"{name}_im", family, f"{name}_im.pt", config, summary, note=IMAGENET_NOTE, papers=(paper,), use="training"
    )


TORCHVISION = replace(
    _imagenet("mn10", "mn", MNConfig(), "schmid2023efficient"),
    name="mn10_im_pytorch",
    file="mn10_im_pytorch.pt",
    urls=(BASE + "mn10_im_pytorch.pt",),
    summary="width 1, torchvision's ImageNet weights with one input channel, start of training",
    note="torchvision's ImageNet weights with one input channel; its classifier (527 outputs) is random",
)

ROWS: tuple[PublishedRecord, ...] = (
    *(_mn_audioset(*row) for row in MN_AUDIOSET),
    TORCHVISION,
    *(_imagenet(name, "mn", MNConfig(width=width), "schmid2023efficient") for name, width in MN_IMAGENET.items()),
    *(_dymn_audioset(*row) for row in DYMN_AUDIOSET),
    *(
        _imagenet(name, "dymn", DyMNConfig(width=width, temperature=IMAGE_TEMPERATURE), "schmid2024dynamic")
        for name, width in DYMN_IMAGENET.items()
    ),
)
