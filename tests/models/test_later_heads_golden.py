"""The heads of the later programs with a frozen encoder give the published logits."""

from __future__ import annotations

import torch

from auricle.models.heads.base import HeadInputs
from auricle.models.heads.transformer import TransformerHead
from auricle.models.heads.vector import NormLinearHead
from helpers.golden_files import close, read_golden, under
from helpers.paths import GOLDEN

TENSORS, META = read_golden(GOLDEN / "finetune" / "later_heads.safetensors")
X = TENSORS["x"]
OURS = {"sem_token": "token", "sem_blocks.": "transformer.blocks.", "norm.": "transformer.norm."}


def inputs(frames):
    return HeadInputs(frames.mean(1), frames, torch.full((len(frames),), frames.shape[1]))


def our_name(name):
    return next((ours + name.removeprefix(theirs) for theirs, ours in OURS.items() if name.startswith(theirs)), name)


def transformer_head(input_dim):
    settings, state = META["transformer"], under(TENSORS, "transformer.")
    head = TransformerHead(
        input_dim, 4, token_dim=settings["width"], depth=settings["depth"], num_heads=settings["heads"]
    )
    head.load_state_dict({our_name(name): value for name, value in state.items() if name != "logits"})
    return head.eval()


def test_the_transformer_head_is_the_published_one():
    close(transformer_head(16)(inputs(X)), TENSORS["transformer.logits"], 1e-5)


def test_a_frame_is_cut_into_tokens_of_the_heads_width():
    """Positions play no part: three frames of three tokens are the nine tokens."""
    close(transformer_head(48)(inputs(X.reshape(3, 3, 48))), TENSORS["transformer.logits"], 1e-5)


def test_frames_past_the_end_of_a_clip_do_not_count():
    padded = torch.cat([X, torch.randn(3, 4, 16)], dim=1)
    got = transformer_head(16)(HeadInputs(X.mean(1), padded, torch.full((3,), X.shape[1])))
    close(got, TENSORS["transformer.logits"], 1e-5)


def test_the_mlp_head_is_a_norm_linear_head_with_a_hidden_layer():
    head, state = NormLinearHead(16, 4, hidden=META["mlp"]["hidden"]), under(TENSORS, "mlp.")
    head.load_state_dict({name: value for name, value in state.items() if name != "logits"})
    close(head.eval()(inputs(X)), TENSORS["mlp.logits"], 1e-5)
