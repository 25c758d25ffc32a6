"""Every family of encoders at toy size: what the contract test runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from auricle.models.base import Encoder


def _unmixed_vit(encoder: Encoder) -> None:
    """Attention that returns nothing: every token keeps to itself."""
    for name, parameter in encoder.named_parameters():
        if ".attn.proj." in name:
            torch.nn.init.zeros_(parameter)


def _flat_kernels(encoder: Encoder) -> None:
    """Convolutions that weigh all their inputs alike: what is left is where strides and paddings look."""
    for parameter in encoder.features.parameters():
        if parameter.ndim == 4:
            torch.nn.init.constant_(parameter, 1.0 / parameter[0].numel())


@dataclass(frozen=True)
class Family:
    """make() builds an encoder; for the test of centres, plain() builds one whose mixing layers ``unmix`` can make the
    identity, and ``seconds`` of sound are longer than what its frames see."""

    make: Callable[[], Encoder]
    unmix: Callable[[Encoder], None] = lambda encoder: None
    plain: Callable[[], Encoder] | None = None
    seconds: float = 2.0


def m2d(
    input_size: str = "80x64",
    patch_size: str = "16x8",
    sample_rate: int = 16000,
    depth: int = 2,
    pools: str = "",
    seed: int = 1,
) -> Encoder:
    from auricle.models.m2d.config import M2DHeadConfig, ViTConfig
    from auricle.models.m2d.encoder import M2DEncoder

    config = ViTConfig(input_size, patch_size, embed_dim=32, depth=depth, num_heads=2, sample_rate=sample_rate)
    head = M2DHeadConfig(5, pools) if pools else None
    return M2DEncoder(config, stats=(-7.0, 4.0), seed=seed, head=head).eval()


def m2d_file(name: str) -> Encoder:
    """A golden checkpoint in one of the published layouts."""
    import warnings

    import auricle
    from helpers.paths import GOLDEN

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one of them holds a tensor of nobody knows what
        return auricle.load(next((GOLDEN / "m2d" / "checkpoints" / name).glob("*.pth")))


def two_m2d() -> Encoder:
    from auricle.models.ensemble import Ensemble

    return Ensemble([m2d(pools="tokens"), m2d(pools="frames", seed=2)]).eval()


def mae_ast(patch_size: str = "16x16", through_decoder: bool = False, **changes) -> Encoder:
    from auricle.models.mae_ast.config import MAEASTConfig
    from auricle.models.mae_ast.encoder import MAEASTEncoder

    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2, "ffn_dim": 64, "decoder_embed_dim": 32, "decoder_depth": 1}
    config = MAEASTConfig(patch_size, **{**sizes, **changes})
    encoder = MAEASTEncoder(config, through_decoder=through_decoder, seed=1).with_stats(-7.0, 4.0)
    return encoder.eval()


@torch.no_grad()
def _settled(encoder: Encoder) -> Encoder:
    """Batch norms that have seen sound, as after training; fresh ones let a deep network's signal die away."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average
    generator = torch.Generator().manual_seed(2)
    encoder.train()
    for _ in range(6):
        loudness = 1 + torch.sin(torch.arange(32000) / (1000 + 4000 * torch.rand(4, 1, generator=generator)))
        encoder(0.1 * loudness * torch.randn(4, 32000, generator=generator))
    return encoder.eval()


def mn(**changes) -> Encoder:
    from auricle.models.efficientat.config import MNConfig
    from auricle.models.efficientat.mn import MN

    return _settled(MN(MNConfig(width=0.1, num_classes=5, **changes), seed=1))


def dymn(**changes) -> Encoder:
    from auricle.models.efficientat.config import DyMNConfig
    from auricle.models.efficientat.dymn import DyMN

    return _settled(DyMN(DyMNConfig(width=0.1, num_classes=5, **changes), seed=1))


def logmel_stats() -> Encoder:
    from auricle.models.log_mel_stats import LogMelStats

    return LogMelStats().eval()


FAMILIES = {
    "m2d": Family(m2d, _unmixed_vit),
    "m2d-speech-32k": Family(lambda: m2d("80x50", "80x4", 32000), _unmixed_vit),
    "m2d-ragged-chunks": Family(lambda: m2d("80x61", "16x16"), _unmixed_vit),
    "m2d-on-decibels": Family(lambda: m2d().with_front_end("decibel-mel/16k").with_stats(-50.0, 30.0), _unmixed_vit),
    "m2d-head-on-tokens": Family(lambda: m2d(pools="tokens"), _unmixed_vit),
    "m2d-head-on-frames": Family(lambda: m2d(pools="frames"), _unmixed_vit),
    "m2d-training-checkpoint": Family(lambda: m2d_file("m2d_vit_base-80x208p16x16-golden-mr7"), _unmixed_vit),
    "m2d-encoder-only-32k": Family(lambda: m2d_file("m2d_as_vit_base-80x104p16x4p32k-golden_enconly"), _unmixed_vit),
    "m2d-speech-file": Family(lambda: m2d_file("m2d_s_vit_base-80x60p80x2-golden"), _unmixed_vit),
    "m2d-runtime-file": Family(lambda: m2d_file("m2d_vit_base-80x80p16x16p16k-golden_prefixed"), _unmixed_vit),
    "m2d-fine-tuned-on-tokens": Family(
        lambda: m2d_file("m2d_as_vit_base-80x201p16x16-golden_AS-FT_enconly"), _unmixed_vit
    ),
    "m2d-fine-tuned-on-frames": Family(lambda: m2d_file("m2d_vit_base-80x96p16x8-golden_FT"), _unmixed_vit),
    "m2d-fine-tuned-without-head": Family(
        lambda: m2d_file("m2d_as_vit_base-80x201p16x16-golden_AS-FT_enconly").without_head(), _unmixed_vit
    ),
    "ensemble": Family(two_m2d, _unmixed_vit),
    "mae-ast-patch": Family(mae_ast, _unmixed_vit),
    "mae-ast-frame": Family(lambda: mae_ast("128x2"), _unmixed_vit),
    "mae-ast-chunked-pre-norm": Family(
        lambda: mae_ast(max_token_length=100, layer_norm_first=True, stored_positions=True), _unmixed_vit
    ),
    "mae-ast-through-decoder": Family(
        lambda: mae_ast(
            "64x4", through_decoder=True, decoder_embed_dim=48, use_post_enc_proj=True, encoder_layerdrop=0.5
        ),
        _unmixed_vit,
    ),
    "logmel-stats": Family(logmel_stats),
    "mn": Family(mn, _flat_kernels, plain=lambda: mn(se_dims="none"), seconds=16.0),
    "mn-convolutional-head": Family(
        lambda: mn(head="fully_convolutional"), _flat_kernels, plain=lambda: mn(se_dims="none"), seconds=16.0
    ),
    "dymn": Family(dymn),
}
