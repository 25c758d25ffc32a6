"""The encoders of ``benchmarks.gpu_card``, every family, with newly drawn weights, and their plain forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auricle.commands.complexity import fit_batch_norms
from auricle.hub.load import load_untrained
from auricle.models.base import Encoder
from auricle.models.m2d.config import ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.mae_ast.config import MAEASTConfig
from auricle.models.mae_ast.encoder import MAEASTEncoder
from benchmarks.gpu_card.settings import Sizes
from benchmarks.plain import efficientat_plain, m2d_plain

STATS = (-7.0, 4.0)  # mean and standard deviation of the log-mel, about those of speech


@dataclass(frozen=True)
class Network:
    """An encoder: make(tiny) builds it; plain(encoder), where there is one, the same operations without Auricle.

    steady: False where rounding grows from layer to layer while the weights are newly drawn, as through the dynamic kernels of
    DyMN: its answers in half precision say nothing then, and those in float32 agree to fewer digits.
    """

    make: Callable[[bool], Encoder]
    plain: Callable[[Encoder], nn.Module] | None = None
    steady: bool = True


class PlainTagger(nn.Module):
    """Log-mel and network of plain/efficientat_plain.py: waveform (B, S) to logits (B, C)."""

    def __init__(self, name: str):
        super().__init__()
        self.mel, self.network = efficientat_plain.LogMel().eval(), efficientat_plain.build(name)

    def forward(self, wave: Tensor) -> Tensor:
        return self.network(self.mel(wave)[:, None])[0]


class PlainViT(nn.Module):
    """Auricle's log-mel, then the encoder of plain/m2d_plain.py: waveform (B, S) of one chunk to tokens (B, 1 + N, D)."""

    def __init__(self, encoder: M2DEncoder):
        super().__init__()
        self.front = encoder.frontend
        config = encoder.config
        bins, frames = map(int, config.input_size.split("x"))
        height, width = map(int, config.patch_size.split("x"))
        self.body = m2d_plain.M2D(
            (bins, frames), (height, width), embed_dim=config.embed_dim, depth=config.depth, num_heads=config.num_heads or 12,
            decoder_embed_dim=4, decoder_depth=0, decoder_num_heads=1,
        )  # fmt: skip
        del self.body.target_blocks, self.body.target_norm

    def forward(self, wave: Tensor) -> Tensor:
        values = (self.front(wave).values - STATS[0]) / STATS[1]
        return self.body.encode(self.body.embed(values[:, None]))


def _m2d(tiny: bool) -> Encoder:
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2} if tiny else {}
    return M2DEncoder(ViTConfig("80x64" if tiny else "80x608", "16x16", **small), stats=STATS)


def _mae_ast(patch_size: str) -> Callable[[bool], Encoder]:
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2, "ffn_dim": 64, "decoder_embed_dim": 32, "decoder_depth": 1}
    return lambda tiny: MAEASTEncoder(MAEASTConfig(patch_size, **(small if tiny else {}))).with_stats(*STATS)


def _tagger(name: str, **options: bool) -> Network:
    return Network(lambda tiny: load_untrained(name), lambda encoder: PlainTagger(name.removesuffix("_as")), **options)


NETWORKS = {
    "m2d vit-b 80x608 16x16": Network(_m2d, PlainViT),  # type: ignore[arg-type]
    "mae-ast patch": Network(_mae_ast("16x16")),
    "mae-ast frame": Network(_mae_ast("128x2")),
    "mn04": _tagger("mn04_as"),
    "mn10": _tagger("mn10_as"),
    "dymn10": _tagger("dymn10_as", steady=False),
}


def waves(encoder: Encoder, sizes: Sizes, clips: int) -> Tensor:
    """(clips, S) float32 at the encoder's rate: noise, the same every time; at most one chunk of the encoder long."""
    generator, samples = torch.Generator().manual_seed(7), round(sizes.seconds * encoder.info.sample_rate)
    if encoder.info.chunk_frames is not None:
        samples = min(samples, (encoder.info.chunk_frames - 1) * encoder.front.hop_length)
    return 0.1 * torch.randn(clips, samples, generator=generator)


def encoder_of(network: Network, sizes: Sizes) -> Encoder:
    """The encoder on the CPU, in evaluation mode; new batch norms have the statistics of a clip."""
    torch.manual_seed(0)
    encoder = network.make(sizes.tiny).eval()
    fit_batch_norms(encoder, waves(encoder, sizes, 1))
    return encoder
