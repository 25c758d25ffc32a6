"""The windowed-sinc resampler agrees with the published one and with its formula, whole and in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import blocks, read
from auricle.audio.resample import resample, sinc_blocks
from auricle.core.errors import AuricleError
from helpers.golden_files import read_golden
from helpers.paths import GOLDEN


def by_formula(wave: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Output by output, in float64 ([mae_ast 8](docs/specification/mae_ast.md#s8))."""
    scale = 0.99 * min(from_rate, to_rate) / from_rate
    out = np.zeros(-(-len(wave) * to_rate // from_rate))
    for j in range(len(out)):
        t = scale * (np.arange(len(wave)) - j * from_rate / to_rate)
        near = np.abs(t) < 6
        out[j] = np.sum(wave[near] * scale * np.sinc(t[near]) * np.cos(np.pi * t[near] / 12) ** 2)
    return out


def noise(samples: int) -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_published_signals_are_reproduced(rate):
    tensors, _ = read_golden(GOLDEN / "mae_ast" / "frontend_few.safetensors")
    mono = tensors[f"wav_{rate}_stereo"].mean(0).numpy()
    np.testing.assert_allclose(resample(mono, rate, 16000, "sinc"), tensors[f"resampled_{rate}"], atol=4e-6)


@pytest.mark.parametrize(
    ("old", "new"), [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (16000, 44100), (11025, 8000)]
)
@pytest.mark.parametrize("samples", [1, 7, 400, 1234])
def test_every_output_equals_the_formula(old, new, samples):
    wave = noise(samples)
    np.testing.assert_allclose(resample(wave, old, new, "sinc"), by_formula(wave, old, new), atol=2e-6)


def test_joined_pieces_equal_the_whole():
    wave = noise(50000)[:, None].repeat(2, axis=1)
    wave[:, 1] *= -0.5
    whole = resample(wave.T, 44100, 16000, "sinc")
    for size in (1, 500, 7001):
        pieces = (wave[i : i + size] for i in range(0, len(wave) if size > 1 else 2000, size))
        joined = np.concatenate(list(sinc_blocks(pieces, 44100, 16000, 2))).T
        same = joined.shape[1] - 20  # the shorter one ends earlier
        np.testing.assert_allclose(joined[:, :same], whole[:, :same], atol=1e-6)
    assert whole.shape == (2, -(-50000 * 160 // 441))


def test_whole_files_spans_and_blocks_use_the_resampler(tmp_path):
    wave = noise(44100 * 2)
    path = tmp_path / "noise.wav"
    soundfile.write(path, wave, 44100, subtype="FLOAT")
    wanted = resample(wave, 44100, 16000, "sinc")
    assert np.array_equal(read(path, rate=16000, resampler="sinc").wave.shape, wanted.shape)
    np.testing.assert_allclose(read(path, rate=16000, resampler="sinc").wave, wanted, atol=1e-6)
    span = read(path, start=0.7, end=1.3, rate=16000, resampler="sinc").wave
    np.testing.assert_allclose(span, wanted[11200:20800], atol=1e-6)
    joined = np.concatenate(list(blocks(path, seconds=0.3, rate=16000, resampler="sinc")))
    np.testing.assert_allclose(joined, wanted, atol=1e-6)
    assert not np.allclose(wanted[:30000], read(path, rate=16000).wave[:30000], atol=1e-4)


def test_an_unknown_resampler_is_refused_with_the_nearest():
    with pytest.raises(AuricleError, match="did you mean sinc"):
        resample(noise(100), 8000, 16000, "sink")
    with pytest.raises(AuricleError, match="whole number"):
        resample(noise(100), 8000.5, 16000, "sinc")
