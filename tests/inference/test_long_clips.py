"""A long recording is embedded piece by piece, to the numbers that encoding it in one call gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle.inference import chunks, pipeline
from auricle.inference.chunks import pool, spectrogram_parts
from auricle.inference.embedder import embed
from auricle.models.base import Encoder
from helpers.encoders import m2d, mae_ast
from helpers.golden_files import close

RATE, SECONDS = 16000, 11.3
ENCODERS = {
    "m2d": m2d,
    "m2d-ragged-chunks": lambda: m2d("80x61", "16x16"),
    "m2d-head-on-tokens": lambda: m2d(pools="tokens"),
    "mae-ast-chunked": lambda: mae_ast(max_token_length=160),
}


@pytest.fixture(params=ENCODERS)
def encoder(request) -> Encoder:
    return ENCODERS[request.param]()


@pytest.fixture
def recording(tmp_path, monkeypatch) -> tuple[str, torch.Tensor]:
    """A file that counts as long, and is cut into pieces of about a second."""
    monkeypatch.setattr(pipeline, "BATCH_SECONDS", 5.0)
    monkeypatch.setattr(chunks, "PART_SECONDS", 1.0)
    noise = np.random.default_rng(0).standard_normal(int(SECONDS * RATE)).astype(np.float32)
    wave = 0.1 * noise * (1 + np.sin(np.arange(len(noise)) / 3000)).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", wave, RATE, subtype="FLOAT")
    return str(tmp_path / "long.wav"), torch.from_numpy(wave)


@pytest.mark.parametrize("pooling", ["clip", "mean", "mean_std", "max", "mean_max"])
def test_vectors_are_those_of_the_whole(encoder, recording, pooling):
    path, wave = recording
    with torch.no_grad():
        out = encoder(wave[None], layers="all")
    whole = out.clip if pooling == "clip" else pool(out.frames, out.lengths, pooling)
    found = embed(path, encoder, pooling=pooling, device="cpu")
    close(torch.from_numpy(found.clip), whole, 2e-5)
    blocks = embed(path, encoder, pooling=pooling, layers="all", device="cpu")
    for i, layer in enumerate(out.layers):
        close(torch.from_numpy(blocks.layer(i)), pool(layer.frames, layer.lengths, pooling), 1e-4)


def test_frames_and_times_are_those_of_the_whole(encoder, recording):
    path, wave = recording
    with torch.no_grad():
        out = encoder(wave[None])
    found = embed(path, encoder, level="frames", device="cpu")
    close(torch.from_numpy(found.frames[0]), out.frames[0], 1e-4)
    close(torch.from_numpy(found.times[0]), out.times, 1e-4)


@pytest.mark.parametrize("more", [2, 10, 15, 16])
def test_a_last_piece_too_short_for_a_step_is_left_out_as_in_one_call(more, recording, tmp_path):
    encoder = mae_ast(max_token_length=160)
    frames = next(spec for spec, _ in spectrogram_parts([recording[1].numpy()], encoder)).values.shape[2]
    wave = recording[1][: 400 + 160 * (7 * frames + more - 1)]
    soundfile.write(tmp_path / "odd.wav", wave.numpy(), RATE, subtype="FLOAT")
    found = embed(tmp_path / "odd.wav", encoder, level="frames", device="cpu")
    assert not found.failed
    with torch.no_grad():
        close(torch.from_numpy(found.frames[0]), encoder(wave[None]).frames[0], 1e-4)


def test_no_piece_exceeds_its_limit_and_every_frame_occurs_once(recording):
    encoder, (_, wave) = m2d(), recording
    blocks = np.array_split(wave.numpy(), 7)
    pieces = list(spectrogram_parts(blocks, encoder))
    whole = encoder.frontend(wave[None]).values
    assert [start for _, start in pieces] == [128 * i for i in range(len(pieces))]
    assert all(spec.values.shape[2] <= 128 + 3 for spec, _ in pieces)
    close(torch.cat([spec.values for spec, _ in pieces], dim=2), whole, 1e-4)


def test_a_recording_that_breaks_off_is_named_and_one_that_must_be_one_piece_is_refused(recording, tmp_path):
    path, _ = recording
    content = Path(path).read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    found = embed([path, str(tmp_path / "cut.wav")], m2d(), device="cpu")
    assert found.ids == (path,)
    assert "truncated" in found.failed[str(tmp_path / "cut.wav")]
    short = embed(path, m2d().with_duration(200), device="cpu")
    assert "in one chunk" in next(iter(short.failed.values()))
