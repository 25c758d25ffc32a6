"""Sizes of the MAE-AST networks ([mae_ast 2.1](docs/specification/mae_ast.md#s2-1)).

This module does not import PyTorch: the command line reads it for its help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from auricle.core.errors import AuricleError
from auricle.core.options import check_ranges, option
from auricle.models.m2d.config import MOST_DEPTH, MOST_WIDTH, parse_size

MOST_SIZE = 1 << 24


@dataclass(frozen=True)
class MAEASTConfig:
    """Encoder and decoder; the defaults are the published patch model as it was trained."""

    OLD_NAMES: ClassVar[dict[str, str]] = {
        "mel_bins": "n_mels",
        "width": "embed_dim",
        "heads": "num_heads",
        "ffn_width": "ffn_dim",
        "decoder_width": "decoder_embed_dim",
    }

    patch_size: str = option("16x16", "token height x width, in mel bins x frames of 10 ms; frame tokens: 128x2")
    n_mels: int = option(128, "mel bins of the front end")
    embed_dim: int = option(768, "width of the encoder")
    depth: int = option(12, "number of encoder layers")
    num_heads: int = option(12, "attention heads, in encoder and decoder")
    ffn_dim: int = option(3072, "inner width of the feed-forward layers, in encoder and decoder")
    decoder_embed_dim: int = option(768, "width of the decoder; another than the encoder's needs --use-post-enc-proj")
    decoder_depth: int = option(2, "number of decoder layers")
    layer_norm_first: bool = option(False, "normalise before attention and feed-forward (pre-norm), not after")
    use_post_enc_proj: bool = option(False, "a linear layer between encoder and decoder")
    dropout: float = option(0.1, "dropout on residual branches and on the input of encoder and decoder")
    attention_dropout: float = option(0.1, "dropout on attention probabilities")
    activation_dropout: float = option(0.0, "dropout inside the feed-forward layers")
    dropout_input: float = option(0.1, "dropout on embedded tokens, in pre-training only")
    encoder_layerdrop: float = option(0.05, "probability that an encoder layer is skipped in training")
    decoder_layerdrop: float = option(0.0, "probability that a decoder layer is skipped in training")
    enc_sine_pos: bool = option(True, "sinusoidal positions in the encoder")
    dec_sine_pos: bool = option(True, "sinusoidal positions in the decoder")
    max_token_length: int = option(48000, "tokens that the position tables hold; longer sound is encoded in chunks")
    stored_positions: bool = option(False, "position tables are weights of the file, not computed")

    def __post_init__(self) -> None:
        height, _ = parse_size(self.patch_size)
        check_ranges(self, ("n_mels", "num_heads", "embed_dim", "decoder_embed_dim"), 1, MOST_WIDTH)
        if min(self.depth, self.decoder_depth, self.ffn_dim) < 1:
            raise AuricleError("encoder and decoder need at least one layer, and their feed-forward a width")
        check_ranges(self, ("ffn_dim", "max_token_length"), 1, MOST_SIZE)
        check_ranges(self, ("depth", "decoder_depth"), 1, MOST_DEPTH)
        if self.n_mels % height:
            raise AuricleError(f"{self.n_mels} mel bins cannot be cut into tokens {height} high")
        for width in (self.embed_dim, self.decoder_embed_dim):
            if width % 2 or width % self.num_heads:
                raise AuricleError(
                    f"the width ({width}) must be even and divide by the number of heads ({self.num_heads})"
                )
        if self.decoder_embed_dim != self.embed_dim and not self.use_post_enc_proj:
            raise AuricleError(
                f"a decoder {self.decoder_embed_dim} wide after an encoder {self.embed_dim} wide needs --use-post-enc-proj"
            )
        if self.max_token_length < self.rows:
            raise AuricleError(f"max_token_length must hold the {self.rows} tokens of a time step or more")
        for name in RATES:
            if not 0 <= getattr(self, name) < 1:
                raise AuricleError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")

    @property
    def patch(self) -> tuple[int, int]:
        """Mel bins and frames of a token."""
        return parse_size(self.patch_size)

    @property
    def rows(self) -> int:
        """Tokens per time step."""
        return self.n_mels // self.patch[0]

    @property
    def patch_values(self) -> int:
        """Values of a token (P)."""
        return self.patch[0] * self.patch[1]

    @property
    def chunk_frames(self) -> int:
        """Frames that the position tables reach, in whole time steps; longer sound is encoded in such chunks."""
        return self.max_token_length // self.rows * self.patch[1]


RATES = (  # probabilities
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "dropout_input",
    "encoder_layerdrop",
    "decoder_layerdrop",
)
PRESETS = {"patch": MAEASTConfig(), "frame": MAEASTConfig(patch_size="128x2")}
