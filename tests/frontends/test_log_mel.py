"""M2D's log-mel front end: the golden vectors, and what must hold for any waveform."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.frontends.base import front_end
from auricle.frontends.framing import hz_to_mel, mel_to_hz, slaney_bank
from auricle.frontends.log_mel import EPS, LogMel, hann
from helpers.golden_files import read_golden
from helpers.paths import GOLDEN

TAGS = ("16k", "32k")
CPU = torch.device("cpu")


@pytest.fixture(params=TAGS)
def front(request) -> LogMel:
    return front_end(f"m2d-logmel/{request.param}")


@pytest.fixture(scope="module")
def golden():
    return read_golden(GOLDEN / "m2d" / "logmel.safetensors")[0]


def noise(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))


def alone(front: LogMel, wave: torch.Tensor, samples: int) -> torch.Tensor:
    return front(wave[None, :samples])[0]


@pytest.mark.parametrize("tag", TAGS)
def test_log_mel_equals_the_original(golden, tag):
    got = front_end(f"m2d-logmel/{tag}")(golden[f"{tag}.waveform"])
    error = (got - golden[f"{tag}.logmel"]).abs()
    assert error.max() < 1e-4
    assert error.mean() < 2e-6
    assert got.dtype == torch.float32
    assert got.is_contiguous()


@pytest.mark.parametrize("tag", TAGS)
def test_window_and_mel_bank_equal_the_original(golden, tag):
    front = front_end(f"m2d-logmel/{tag}")
    assert (hann(front.n_fft, CPU) - golden[f"{tag}.window"]).abs().max() <= 1e-7
    bank = slaney_bank(front.sample_rate, front.n_fft, front.n_mels, front.fmin, CPU)
    assert (bank - golden[f"{tag}.mel_basis"]).abs().max() <= 1e-7


def test_mel_scale_is_slaney_s_and_its_own_inverse():
    hertz = np.array([0.0, 50.0, 999.9, 1000.0, 1000.1, 8000.0, 16000.0])
    assert hz_to_mel(np.array(1000.0)) == pytest.approx(15.0)
    assert hz_to_mel(np.array(6400.0)) == pytest.approx(15.0 + 27.0)
    assert mel_to_hz(hz_to_mel(hertz)) == pytest.approx(hertz)


def test_no_mel_filter_is_empty(front):
    assert (slaney_bank(front.sample_rate, front.n_fft, front.n_mels, front.fmin, CPU).sum(1) > 0).all()


def test_silence_is_the_log_of_the_offset_exactly(front):
    assert torch.equal(front(torch.zeros(1, 5000)), torch.full((1, 80, front.num_frames(5000)), EPS).log())
    assert math.log(EPS) == pytest.approx(-15.942385, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(tag=st.sampled_from(TAGS), extra=st.integers(0, 3000), seed=st.integers(0, 5))
def test_any_length_from_the_shortest_gives_its_number_of_frames(tag, extra, seed):
    front = front_end(f"m2d-logmel/{tag}")
    samples = front.min_samples + extra
    values = front(noise(1, samples, seed))
    assert values.shape == (1, 80, 1 + samples // front.hop_length)
    assert front.num_frames(samples) == values.shape[2]
    assert torch.isfinite(values).all()


def test_shortest_input_is_half_a_window_and_one_sample(front):
    assert front.min_samples == front.n_fft // 2 + 1
    assert front(noise(2, front.min_samples)).shape[2] == front.num_frames(front.min_samples)
    with pytest.raises(AuricleError, match=f"{front.min_samples} samples"):
        front(noise(1, front.min_samples - 1))
    with pytest.raises(AuricleError, match="got 7"):
        front(noise(2, 1000), torch.tensor([1000, 7]))


@settings(max_examples=30, deadline=None)
@given(tag=st.sampled_from(TAGS), lengths=st.lists(st.integers(401, 6000), min_size=1, max_size=6))
def test_clips_of_a_mixed_batch_come_out_as_if_alone(tag, lengths):
    front, wave = front_end(f"m2d-logmel/{tag}"), noise(len(lengths), 6000)
    mixed = front(wave, torch.tensor(lengths))  # what lies behind a clip's own end is not even zero here
    for clip, values, samples in zip(wave, mixed, lengths):
        own = front.num_frames(samples)
        assert torch.allclose(values[:, :own], alone(front, clip, samples), atol=1e-4)
        assert (values[:, own:] == 0).all()


def test_samples_after_the_end_of_a_clip_may_be_nan(front):
    wave = noise(2, 4000)
    wave[1, 3000:] = float("nan")
    values = front(wave, torch.tensor([4000, 3000]))
    assert torch.isfinite(values).all()


def test_equal_lengths_are_the_plain_batch(front):
    wave = noise(3, 2000)
    assert torch.equal(front(wave, torch.tensor([2000] * 3)), front(wave))


def test_a_tone_peaks_in_the_band_around_it(front):
    hertz = 1234.0
    tone = torch.sin(2 * math.pi * hertz / front.sample_rate * torch.arange(front.sample_rate))[None]
    edges = mel_to_hz(np.linspace(hz_to_mel(np.array(50.0)), hz_to_mel(np.array(front.sample_rate / 2)), 82))
    band = int(front(tone)[0, :, 50].argmax())
    assert edges[band] < hertz < edges[band + 2]


def test_frame_k_is_centred_on_sample_k_times_hop(front):
    wave = torch.zeros(1, 30 * front.hop_length)
    wave[0, 12 * front.hop_length] = 1.0
    assert int(front(wave)[0].sum(0).argmax()) == 12
    assert front.hop_seconds == pytest.approx(0.01)


def test_gradients_reach_the_waveform_after_a_first_call_in_inference_mode(front):
    hann.cache_clear()
    slaney_bank.cache_clear()
    with torch.inference_mode():
        front(noise(1, 1000))
    wave = noise(1, 1000).requires_grad_()
    front(wave).sum().backward()
    assert torch.isfinite(wave.grad).all()
    assert (wave.grad != 0).any()


def test_ids_determine_their_front_ends():
    assert front_end("m2d-logmel/16k") == LogMel(16000)
    assert {front_end(f"m2d-logmel/{tag}").id for tag in TAGS} == {"m2d-logmel/16k", "m2d-logmel/32k"}
    with pytest.raises(AuricleError, match="16k and 32k"):
        front_end("m2d-logmel/8k")


def test_runs_on_a_gpu_where_there_is_one(front):
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    wave = noise(2, 5000)
    assert torch.allclose(front(wave.cuda()).cpu(), front(wave), atol=1e-3)
