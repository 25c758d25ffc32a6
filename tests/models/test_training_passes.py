"""Encoders tell how often their blocks run in training: processes that spread parameters must agree on it."""

from __future__ import annotations

import pytest
import torch

from auricle.models.layers.transformer import stacks_of
from auricle.models.m2d import encoder as m2d_encoder
from helpers.encoders import m2d, mae_ast, two_m2d

FAMILIES = {
    "m2d": m2d,
    "m2d of whole chunks": lambda: m2d("80x61", "16x16"),
    "mae-ast": mae_ast,
    "mae-ast in chunks": lambda: mae_ast(max_token_length=100),
    "ensemble": two_m2d,
}


def count_passes(encoder, wave, lengths) -> tuple[int, int]:
    """How often the first blocks ran, and what the encoder said before."""
    ran = []
    for stack in stacks_of(encoder):
        stack.blocks[0].register_forward_hook(lambda *_: ran.append(1))
    spec = encoder.frontend(wave, lengths)
    told = encoder.training_passes(spec.lengths, spec.values.shape[2])
    encoder.encode(spec)
    return len(ran), told


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seconds", [(2.5, 0.4), (0.5, 0.5), (4.0, 4.0)])
def test_the_number_of_passes_is_known_before(name, seconds, monkeypatch):
    monkeypatch.setattr(
        m2d_encoder, "TOKENS_PER_PASS", 1
    )  # more passes than chunks of a clip, were it not for one_pass
    encoder = FAMILIES[name]().train()
    for module in encoder.modules():
        module.one_pass = True
    lengths = torch.tensor([round(16000 * length) for length in seconds])
    wave = 0.1 * torch.randn(2, int(lengths.max()), generator=torch.Generator().manual_seed(1))
    ran, told = count_passes(encoder, wave, lengths)
    assert ran == told


def test_hidden_patches_are_hidden_chunk_by_chunk():
    encoder = m2d(pools="tokens").train()
    encoder.augment_in_training(mask_ratio=0.5)
    spec = encoder.frontend(torch.zeros(2, 32000))
    assert encoder.training_passes(spec.lengths, spec.values.shape[2]) == 4


def test_one_pass_gives_the_frames_of_many(monkeypatch):
    monkeypatch.setattr(m2d_encoder, "TOKENS_PER_PASS", 1)
    wave = 0.1 * torch.randn(3, 24000, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([24000, 9000, 16000])
    encoder = m2d().train()
    many = encoder(wave, lengths).frames
    encoder.one_pass = True
    torch.testing.assert_close(encoder(wave, lengths).frames, many, atol=1e-5, rtol=1e-5)
