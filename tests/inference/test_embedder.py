"""Embedding: any encoder, any length, broken files named, layers and frames where asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.inference.chunks import pool
from auricle.inference.config import EmbedSettings
from auricle.inference.embedder import embed
from auricle.inference.pipeline import clip_batches
from auricle.inference.tagger import tag
from helpers.encoders import logmel_stats, m2d, mn
from helpers.evaluation_data import corpus
from helpers.sounds import tone, write_sound

LENGTHS = (0.31, 0.12, 0.5, 0.27, 0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    for i, seconds in enumerate(LENGTHS):
        write_sound(folder / f"{i}.wav", tone(seconds, seed=i))
    return folder


@pytest.mark.parametrize("make", [logmel_stats, m2d])
def test_a_batch_of_mixed_lengths_equals_one_clip_at_a_time(folder, make):
    encoder = make()
    together, alone = (embed(folder, encoder, level="frames", batch_size=n) for n in (4, 1))
    assert together.ids == alone.ids == tuple(f"{i}.wav" for i in range(len(LENGTHS)))
    assert np.abs(together.clip - alone.clip).max() < 1e-4
    for a, b, times in zip(together.frames, alone.frames, together.times):
        assert a.shape == b.shape
        assert len(times) == len(a)
        assert np.abs(a - b).max() < 1e-4


def test_the_clip_vector_is_that_of_the_encoder(folder):
    encoder = m2d()
    with torch.inference_mode():
        out = encoder(torch.from_numpy(tone(LENGTHS[0], seed=0))[None])
    found = auricle.embed([folder / "0.wav"], encoder, level="frames")
    assert np.abs(found.clip[0] - out.clip[0].numpy()).max() < 1e-3  # the file has 16 bits
    assert np.abs(found.frames[0] - out.frames[0].numpy()).max() < 2e-2
    assert np.allclose(found.times[0], out.times.numpy())


def test_blocks_are_pooled_and_joined_in_the_requested_order(folder):
    encoder = m2d(depth=3)
    found = embed(folder, encoder, layers=(2, 0))
    each = [embed(folder, encoder, layers=(i,)).clip for i in (2, 0)]
    assert found.layers == (2, 0)
    assert np.allclose(found.clip, np.concatenate(each, axis=1))
    assert np.allclose(found.layer(0), each[1])
    assert embed(folder, encoder, layers="all").layers == (0, 1, 2)
    assert embed(folder, encoder, layers=(-1,)).layers == (2,)


def test_poolings_look_at_valid_frames_only():
    frames = torch.tensor([[[1.0], [3.0], [100.0]]])
    lengths = torch.tensor([2])
    expected = {"mean": [2.0], "mean_std": [2.0, 2**0.5], "max": [3.0], "mean_max": [5.0]}
    for name, values in expected.items():
        assert pool(frames, lengths, name)[0].tolist() == pytest.approx(values)


def test_every_part_of_an_encoder_stays_in_its_mode(folder):
    for make, hear in ((mn, tag), (mn, embed), (m2d, embed)):
        net = make().train()
        frozen = [part for part in net.modules() if isinstance(part, (torch.nn.BatchNorm2d, torch.nn.LayerNorm))]
        for part in frozen:
            part.eval()
        hear(folder, net)
        assert net.training
        assert not any(part.training for part in frozen)


def test_an_encoder_in_training_stays_in_training(folder):
    encoder = m2d().train()
    assert np.array_equal(embed(folder, encoder).clip, embed(folder, m2d()).clip)
    assert encoder.training


def test_a_fixed_length_cuts_and_pads(folder):
    settings = EmbedSettings(seconds=0.2)
    for name, kept in (("2.wav", 3200), ("4.wav", 800)):
        ((clip,),) = clip_batches(Manifest((Clip(name, path=name),), folder), 16000, settings)
        wave = clip.waveform
        assert len(wave) == 3200
        assert np.count_nonzero(wave[kept:]) == 0
        assert np.count_nonzero(wave[:kept]) > 0.9 * kept


def test_a_random_window_is_keyed_by_the_clip(folder):
    windows = [embed(folder, logmel_stats(), seconds=0.2, crop="random", crop_seed=seed).clip for seed in (0, 0, 1)]
    assert np.array_equal(windows[0], windows[1])
    assert not np.allclose(windows[0][2], windows[2][2])
    assert np.allclose(windows[0][4], windows[2][4])  # shorter than the window: nothing to draw


def test_only_the_span_of_a_clip_is_embedded(folder):
    wave = tone(0.5, seed=2)[1600:4800]
    write_sound(folder / "span" / "cut.wav", wave)
    whole = Manifest((Clip("span", path="2.wav", start=0.1, end=0.3),), folder)
    found, cut = embed(whole, m2d()), embed([folder / "span" / "cut.wav"], m2d())  # 16 kHz: nothing is resampled
    assert np.abs(found.clip - cut.clip).max() < 1e-3


def test_broken_files_are_named_and_the_rest_is_embedded(tmp_path):
    manifest = corpus(tmp_path, per_class=2)
    (tmp_path / "low-0.wav").write_text("not audio")
    (tmp_path / "low-1.wav").write_bytes(b"")
    (tmp_path / "high-0.wav").unlink()
    found = embed(manifest, logmel_stats())
    assert set(found.failed) == {"low-0.wav", "low-1.wav", "high-0.wav"}
    assert found.ids == ("high-1.wav", "middle-0.wav", "middle-1.wav")
    assert all(id in message for id, message in found.failed.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": (5,)}, "2 blocks"),
        ({"layers": ("last",)}, "indices or 'all'"),
        ({"pooling": "median"}, "--pooling is one of"),
        ({"seconds": -1.0}, "positive"),
        ({"level": "samples"}, "'clip' or 'frames'"),
        ({"device": "cuda:77"}, "cannot be used here"),
        ({"batch_size": 0}, "at least 1"),
        ({"layers": "10"}, "2 blocks"),
        ({"poolings": "max"}, "does not know; did you mean pooling"),
    ],
)
def test_wrong_settings_are_refused_with_a_message(folder, options, message):
    with pytest.raises(AuricleError, match=message):
        embed(folder, m2d(), **options)


def test_layers_of_an_encoder_without_blocks_are_refused(folder):
    with pytest.raises(AuricleError, match="no blocks"):
        embed(folder, logmel_stats(), layers="all")
