"""What holds for every front end: the contract of ``frontends/base.py``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.frontends import efficientat_mel, fbank, framing, log_mel
from auricle.frontends.base import FrontEnd, front_end
from auricle.frontends.streaming import spectrogram_blocks
from helpers.golden_files import close
from tolerances import TOLERANCES

PUBLISHED = (
    "m2d-logmel/16k",
    "m2d-logmel/32k",
    "mae-ast-fbank/16k",
    "mae-ast-fbank/16k-m40-hann",
    "efficientat-mel/sr32000-m128-w800-h320-n1024-fmin0-fmax15000",
    "decibel-mel/16k",
)
UNUSUAL = (
    "efficientat-mel/sr32000-m40-w800-h100-n1024-fmin0-fmax15000",  # a hop far below the window
    "efficientat-mel/sr16000-m20-w101-h160-n512-fmin50-fmax7000",  # an odd window shorter than the hop
    "efficientat-mel/sr16000-m20-w512-h512-n512-fmin50-fmax7000",
)
ALL = PUBLISHED + UNUSUAL


@pytest.fixture(params=ALL)
def front(request) -> FrontEnd:
    return front_end(request.param)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def changed_frames(front: FrontEnd, wave: torch.Tensor, sample: int) -> set[int]:
    """The frames of (S,) that change with one sample."""
    other = wave.clone()
    other[sample] += 100.0  # a window's outermost weights are about 1e-5
    return set((front(wave[None]) != front(other[None]))[0].any(0).nonzero()[:, 0].tolist())


def frames_of_sample(front: FrontEnd, sample: int, frames: int) -> set[int]:
    """The frames whose context contains a sample."""
    left, right = front.context
    return {
        t
        for t in range(frames)
        if t * front.hop_length - left <= sample < (t + 1) * front.hop_length + right  # its own hop and both sides
    }


def test_the_id_gives_an_equal_front_end_which_is_frozen(front):
    assert front_end(front.id) == front
    with pytest.raises(AttributeError):
        front.n_mels = 3


@pytest.mark.parametrize("extra", [0, 1, 37])
def test_a_frame_depends_on_its_context_alone(front, extra):
    samples = front.min_samples + 3 * front.hop_length + sum(front.context)
    samples = samples // front.hop_length * front.hop_length + extra  # with 0, the last frame may begin at the end
    wave, frames = noise(samples), front.num_frames(samples)
    for sample in range(0, samples, 7):
        assert changed_frames(front, wave, sample) <= frames_of_sample(front, sample, frames)


def test_the_context_is_no_larger_than_what_is_used(front):
    left, right = front.context
    samples = front.min_samples + 8 * front.hop_length + 2 * (left + right)
    wave, t = noise(samples), -(-(left + 2) // front.hop_length) + 1
    first, last = t * front.hop_length - left, (t + 1) * front.hop_length + right - 1
    used = [sample for sample in range(max(0, first - 3), last + 4) if t in changed_frames(front, wave, sample)]
    assert first <= used[0] <= first + 3
    assert last - 3 <= used[-1] <= last or right == 0


@settings(max_examples=40, deadline=None)
@given(id=st.sampled_from(ALL), extra=st.integers(0, 3000))
def test_num_frames_is_the_number_of_frames(id, extra):
    front = front_end(id)
    samples = front.min_samples + extra
    values = front(noise(1, samples))
    assert values.shape == (1, front.n_mels, front.num_frames(samples))
    assert values.dtype == torch.float32
    assert torch.isfinite(values).all()
    assert front.num_frames(torch.tensor([samples])).tolist() == [values.shape[2]]


def test_frame_time_is_the_centre_of_a_frame_in_seconds(front):
    assert front.frame_time(7) - front.frame_time(6) == pytest.approx(front.hop_length / front.sample_rate)
    assert front.hop_seconds == pytest.approx(front.hop_length / front.sample_rate)
    wave = noise(1, front.min_samples + 12 * front.hop_length + sum(front.context)).requires_grad_()
    t = 8
    (gradient,) = torch.autograd.grad(front(wave)[0, :, t].square().sum(), wave)
    heard = gradient[0].nonzero()[:, 0].tolist()  # samples that change frame t
    centre = (heard[0] + heard[-1]) / 2 / front.sample_rate
    assert front.frame_time(t) == pytest.approx(centre, abs=1.01 / front.sample_rate)


def test_calls_give_equal_values_and_leave_the_wave_alone(front):
    wave = noise(2, front.min_samples + 1000)
    before = wave.clone()
    assert torch.equal(front(wave), front(wave))
    assert torch.equal(wave, before)


def test_a_clip_in_a_mixed_batch_is_as_if_alone(front):
    lengths = [front.min_samples + extra for extra in (4000, 0, 1, 1599, 1600)]
    wave = noise(len(lengths), max(lengths))
    mixed = front(wave, torch.tensor(lengths))
    for clip, values, length in zip(wave, mixed, lengths):
        own = front.num_frames(length)
        torch.testing.assert_close(values[:, :own], front(clip[None, :length])[0], atol=1e-5, rtol=0)
        assert not values[:, own:].any()


def test_a_clip_below_min_samples_is_refused(front):
    with pytest.raises(AuricleError, match=f"{front.min_samples} samples or more, got 3; zero-pad"):
        front(noise(1, 3))
    with pytest.raises(AuricleError, match="got 7"):
        front(noise(2, 5000), torch.tensor([5000, 7]))


def whole_file(front: FrontEnd, wave: torch.Tensor) -> torch.Tensor:
    """(F, T) as an encoder gets it: a wave below ``min_samples`` is zero-padded."""
    return front(torch.nn.functional.pad(wave, (0, max(0, front.min_samples - len(wave))))[None])[0]


@settings(max_examples=150, deadline=None)
@given(
    id=st.sampled_from(ALL),
    samples=st.one_of(st.integers(1, 1100), st.integers(1, 20000)),
    cuts=st.lists(st.floats(0, 1), max_size=12),
    seed=st.integers(0, 3),
)
def test_a_stream_equals_the_whole_file(id, samples, cuts, seed):
    front, wave = front_end(id), noise(samples, seed=seed)
    edges = [0, *sorted(int(cut * samples) for cut in cuts), samples]
    parts = list(spectrogram_blocks([wave[a:b] for a, b in pairwise(edges)], front))
    assert all(part.shape[0] == front.n_mels for part in parts)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole_file(front, wave), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [1, 160, 4096])
def test_blocks_of_one_size_and_numpy_arrays(front, size):
    wave = noise(front.min_samples + 1200)
    parts = spectrogram_blocks((block.numpy() for block in wave.split(size)), front)
    torch.testing.assert_close(torch.cat(list(parts), dim=1), whole_file(front, wave), atol=1e-5, rtol=0)


def test_a_frame_comes_as_soon_as_its_context_is_there(front):
    stream, wave, sent, received = front.stream(), noise(front.min_samples + 4000), 0, 0
    for block in wave.split(50):
        sent, received = sent + len(block), received + stream.push(block).shape[1]
        if sent >= front.min_samples:
            assert received == max(0, (sent - front.context[1]) // front.hop_length)


def test_a_stream_holds_a_bounded_number_of_samples(front):
    stream = front.stream()
    for size in (100_000, 1, 3, 50_000, 700):
        stream.push(noise(size))
        bound = sum(front.context) + front.min_samples + 3 * front.hop_length
        assert stream._wave.untyped_storage().nbytes() <= 4 * bound


def test_a_stream_without_samples_is_empty_and_a_flushed_one_starts_again(front):
    stream, wave = front.stream(), noise(3000)
    assert stream.flush().shape == (front.n_mels, 0)
    assert stream.push(wave[:0]).shape == (front.n_mels, 0)
    for _ in range(2):
        joined = torch.cat([stream.push(wave), stream.flush()], dim=1)
        torch.testing.assert_close(joined, whole_file(front, wave), atol=1e-5, rtol=0)


def test_silence_and_a_loud_tone_stream_to_the_same_values(front):
    tone = torch.sin(torch.arange(9000) * 0.37)
    wave = torch.cat([torch.zeros(2000), tone, torch.zeros(3000)])
    parts = spectrogram_blocks(np.array_split(wave.numpy(), 13), front)
    torch.testing.assert_close(torch.cat(list(parts), dim=1), whole_file(front, wave), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("id", PUBLISHED)
def test_an_exported_front_end_has_real_operations_alone_and_takes_any_length(id):
    front, wave = front_end(id), noise(2, 8000)
    for cached in (
        log_mel.hann,
        efficientat_mel.hann,
        fbank.window_of,
        framing.slaney_bank,
        framing.band_groups,
    ):
        cached.cache_clear()  # as in a new process
    any_size = torch.export.Dim.DYNAMIC
    program = torch.export.export(front.as_module(), (wave,), dynamic_shapes=({0: any_size, 1: any_size},))
    for node in program.graph.nodes:
        value = node.meta.get("val")
        assert not (isinstance(value, torch.Tensor) and value.is_complex()), node
    exported = program.module()
    for other in (wave, noise(3, 12345)):
        close(exported(other), front(other), TOLERANCES["Kaldi fbank"].atol)  # another Fourier transform in float32


@pytest.mark.parametrize("samples", [1, 5000, 80000])  # a block holds one frame, a part of a clip, or several clips
def test_blocks_of_frames_change_nothing(front, samples, monkeypatch):
    wave = noise(3, front.min_samples + 30 * front.hop_length)
    whole = front(wave)
    monkeypatch.setattr(framing, "CACHED_SAMPLES", samples)
    close(front(wave), whole, 1e-5)


def test_a_wave_that_needs_a_gradient_gives_the_same_values(front, monkeypatch):
    wave = noise(2, front.min_samples + 30 * front.hop_length)
    monkeypatch.setattr(framing, "BLOCK_FRAMES", 14)
    graded = front(wave.clone().requires_grad_())
    assert graded.requires_grad
    close(graded.detach(), front(wave), 1e-4 if front.id.startswith("decibel") else 1e-5)


def test_autocast_changes_nothing(front):
    wave = noise(1, front.min_samples + 500)
    with torch.autocast("cpu", torch.bfloat16):
        values = front(wave)
    assert torch.equal(values, front(wave))


@pytest.mark.parametrize("frames", [2, 7, 100])
def test_the_samples_for_a_number_of_frames_give_that_number(front, frames):
    samples = front.samples_for(frames)
    assert front.num_frames(samples) == frames
    assert front.num_frames(samples - front.hop_length) == frames - 1
