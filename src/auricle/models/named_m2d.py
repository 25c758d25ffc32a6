"""The published model names of the M2D family (specification m2d 2.6): what each is, as sizes. No PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.errors import AuricleError, nearest
from auricle.models.config import PredictorConfig, ViTConfig

SIZES = {"base": (768, 12), "large": (1024, 24)}  # width, depth; heads are 64 wide
M2D_DECODER, MSM_DECODER = (512, 8, 16), (384, 4, 6)  # width, depth, heads
ENCODER_ONLY = "_encoder_only"


@dataclass(frozen=True)
class Entry:
    """method is what ``auricle pretrain`` calls it; fixed_depth: a requested decoder depth is ignored, as published."""

    method: str
    sizes: tuple[str, ...] = ("base", "large")
    decoder: tuple[int, int, int] = M2D_DECODER
    fixed_depth: bool = False


ENTRIES = {
    "m2d": Entry("m2d"),
    "m2d_x": Entry("m2d-x"),
    "m2d_as": Entry("m2d-as"),
    "m2d_s": Entry("m2d-s", ("base",)),
    "m2d_d2v": Entry("m2d-d2v", ("base",)),
    "msm_mae": Entry("msm-mae", decoder=MSM_DECODER, fixed_depth=True),
    "mae": Entry("msm-mae", ("base",)),
}
NAMES = tuple(f"{family}_vit_{size}" for family, entry in ENTRIES.items() for size in entry.sizes)


@dataclass(frozen=True)
class NamedModel:
    """A published name spelt out. predictor is None for ``…_encoder_only``, which only encodes."""

    name: str
    method: str
    model: ViTConfig
    predictor: PredictorConfig | None


def named_model(
    name: str,
    *,
    input_size: str = "80x608",
    patch_size: str = "16x16",
    sample_rate: int = 16000,
    decoder_depth: int = 8,
) -> NamedModel:
    """The network of a published name. Raises AuricleError for an unknown name, and for what is not trained here."""
    bare = name.removesuffix(ENCODER_ONLY)
    if bare.startswith("m2d_clap"):
        raise AuricleError(
            f"{name}: M2D-CLAP is not trained here; its published weights load as plain encoders (auricle.load)"
        )
    if bare not in NAMES or (name != bare and bare.startswith("mae_")):
        raise AuricleError(f"unknown model '{name}'{nearest(name, NAMES)}")
    family, size = bare.split("_vit_")
    entry, (width, depth) = ENTRIES[family], SIZES[size]
    model = ViTConfig(input_size, patch_size, width, depth, sample_rate=sample_rate)
    inner, layers, heads = entry.decoder
    predictor = PredictorConfig(inner, layers if entry.fixed_depth else decoder_depth, heads)
    return NamedModel(name, entry.method, model, predictor if name == bare else None)
