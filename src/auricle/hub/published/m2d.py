"""Records of every weight that M2D publishes. Sizes and rate are parsed from the name.

Source: [m2d 6.7](docs/specification/m2d.md#s6-7).
"""

from __future__ import annotations

from auricle.hub.convert.m2d_names import parse_name
from auricle.hub.published.record import PublishedRecord
from auricle.models.m2d.config import ViTConfig

SOURCE = "https://github.com/nttcslab/m2d"
LICENCE = "NTT, LICENSE.pdf of the repository: read it"
PRETRAINED, SPEECH, FINETUNED = "v0.1.0", "v0.2.0", "v0.3.0"
IN_THE_FILE = "in the file; -7.1, 4.2 if it holds none"
NO_STATISTICS = "-7.1, 4.2, as the original: the file holds none"
OF_YOUR_DATA = "-7.1, 4.2, the original's default; SUPERB measures those of its data (RunningNorm, with_stats)"
CLAP_NOTE = "M2D-CLAP loads as a plain audio encoder: its text side and projections are not used"
TRANSFER = "general-purpose transfer learning"
TAGGING = "audio tagging and sound event detection"

# trained parameters of the ViT-B encoder by patch size, and of the AudioSet classifier (measured)
PARAMETERS = {"16x16": 85_254_144, "16x4": 85_106_688, "80x2": 85_180_416}
CLASSIFIER = 768 * 527 + 527


def _weight(
    release: str,
    name: str,
    file: str,
    summary: str,
    use: str,
    *papers: str,
    further: bool = False,
    score: float | None = None,
    statistics: str = IN_THE_FILE,
    note: str = "",
) -> PublishedRecord:
    """Build a record; ``file`` is "" if the name inside the archive is unknown; ``further`` as in Record."""
    parsed = parse_name(name)
    if parsed is None:
        raise ValueError(f"{name} does not follow M2D's naming rule")
    tagger = release == FINETUNED
    return PublishedRecord(
        name,
        "m2d",
        summary,
        ViTConfig(input_size=parsed.input_size, patch_size=parsed.patch_size, sample_rate=parsed.sample_rate),
        urls=(f"{SOURCE}/releases/download/{release}/{name}.zip",),
        folder=name,
        file=file,
        class_list="audioset-by-id" if tagger else "",
        label_type="multilabel" if tagger else None,
        parameters=PARAMETERS[parsed.patch_size] + (CLASSIFIER if tagger else 0),
        front_end=f"m2d-logmel/{parsed.sample_rate // 1000}k",
        release=release,
        statistics=statistics,
        score=score,
        licence=LICENCE,
        source=SOURCE,
        use=use,
        further=further,
        note=note,
        papers=papers,
    )


ROWS: tuple[PublishedRecord, ...] = (
    _weight(
        FINETUNED,
        "m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly",
        "weights_ep69it3124-0.48494.pth",
        "M2D-AS fine-tuned on AudioSet 2M",
        f"best for {TAGGING}",
        "niizumi2024m2dx",
        score=0.485,
    ),
    _weight(
        FINETUNED,
        "m2d_vit_base-80x1001p16x16-221006-mr7_as_46ab246d",
        "weights_ep69it3124-0.47929.pth",
        "M2D (mask 0.7) fine-tuned on AudioSet 2M",
        f"second best for {TAGGING}",
        "niizumi2023m2d",
        score=0.479,
    ),
    _weight(
        FINETUNED,
        "m2d_as_vit_base-80x1001p16x16p32k-240413_AS-FT_enconly",
        "",
        "M2D-AS fine-tuned on AudioSet 2M at 32 kHz",
        f"best for {TAGGING} at 32 kHz",
        "niizumi2024m2dx",
        score=0.480,
    ),
    _weight(
        PRETRAINED,
        "m2d_vit_base-80x200p16x4-230529",
        "checkpoint-300.pth",
        "M2D (mask 0.7), frames of 40 ms",
        f"{TRANSFER} and further pre-training with a finer time frame",
        "niizumi2024m2dx",
        further=True,
    ),
    _weight(
        PRETRAINED,
        "m2d_as_vit_base-80x608p16x16-240213",
        "checkpoint-300.pth",
        "M2D-AS",
        f"{TRANSFER} and further pre-training, above all for data close to the AudioSet ontology",
        "niizumi2024m2dx",
        further=True,
    ),
    *(
        _weight(
            PRETRAINED,
            f"m2d_vit_base-80x608p16x16-221006-mr{tenths}",
            "checkpoint-300.pth",
            f"M2D (mask 0.{tenths})",
            f"{TRANSFER} and further pre-training",
            "niizumi2023m2d",
            "niizumi2024m2dx",
            further=True,
            statistics=NO_STATISTICS,
        )
        for tenths in (7, 6)
    ),
    *(
        _weight(
            PRETRAINED,
            f"m2d_vit_base-80x608p16x16-{date}-mr7_enconly",
            "checkpoint-300.pth",
            "M2D (mask 0.7), encoder only",
            TRANSFER,
            "niizumi2023m2d",
            paper,
        )
        for date, paper in (("221006", "niizumi2024m2dx"), ("220930", "niizumi2024embc"))
    ),
    _weight(
        PRETRAINED,
        "m2d_as_vit_base-80x608p16x16p32k-240413_enconly",
        "checkpoint-300.pth",
        "M2D-AS at 32 kHz, encoder only",
        f"{TRANSFER} at 32 kHz",
        "niizumi2024m2dx",
    ),
    *(
        _weight(
            SPEECH,
            f"m2d_s_vit_base-80x{frames}p80x2-{date}",
            "checkpoint-1000.pth",
            f"M2D-S (speech, mask 0.6), input of {seconds} s, frames of 20 ms",
            "speech transfer learning and further pre-training",
            "niizumi2023m2d4speech",
            further=True,
            statistics=OF_YOUR_DATA,
        )
        for frames, date, seconds in ((608, "230220", 6), (512, "230301", 5), (400, "230201", 4))
    ),
    _weight(
        PRETRAINED,
        "m2d_clap_vit_base-80x608p16x16-240128",
        "checkpoint-300.pth",
        "audio encoder of M2D-CLAP",
        TRANSFER,
        "niizumi2024m2dclap",
        note=CLAP_NOTE,
    ),
    _weight(
        FINETUNED,
        "m2d_clap_vit_base-80x1001p16x16-240128_AS-FT_enconly",
        "",
        "audio encoder of M2D-CLAP fine-tuned on AudioSet 2M",
        TAGGING,
        "niizumi2024m2dclap",
        score=0.485,
        note=CLAP_NOTE,
    ),
)
